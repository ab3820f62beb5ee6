package client

import (
	"context"
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Subscribe registers a handler. While running it waits, within ctx, for the
// SUBACK, and a refusal is an error that leaves nothing registered; before
// Start the filter becomes part of the first SUBSCRIBE. The function returned
// takes the registration back, and the filter with its last one.
func (c *Client) Subscribe(ctx context.Context, s *Subscription) (remove func(context.Context) error, err error) {
	if ctx == nil {
		return nil, &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: errors.New("context is nil")}
	}
	if s.Typed != nil && s.consumer == nil {
		if err := consume(c, s); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				s.release()
			}
		}()
	}
	if err := s.validate(); err != nil {
		return nil, err
	}
	var (
		r     *run
		at    *subscriber
		l     *parking.Backlog
		asked session.Wish
	)
	for moved := true; moved; {
		if r, at, err = c.place(s); err != nil {
			return nil, err
		}
		if r != nil {
			defer r.filters.begin(ctx, at, map[string]bool{s.Filter: c.late(s)})()
		}
		if l, asked, moved, err = c.enlist(s, r, at); err != nil {
			return nil, err
		}
	}
	if r != nil {
		if err := c.await(ctx, r, at, l, asked); err != nil {
			_ = c.takeBack(ctx, s, true)
			return nil, err
		}
	}
	if s.Typed != nil && s.QoS > 0 && c.cfg.ClientID == "" {
		c.lasting.unnamed.Do(func() {
			c.log.Warnf("mqtt: no client id: messages published while the process is down are not kept (first for filter %q)", s.Filter)
		})
	}
	return func(ctx context.Context) error { return c.Unsubscribe(ctx, s) }, nil
}

// await waits, within ctx, until a subscription that was registered while running
// has its session, its parked messages and its grant.
func (c *Client) await(ctx context.Context, r *run, at *subscriber, l *parking.Backlog, asked session.Wish) error {
	for _, other := range r.subscribers() {
		if other != at { // where the filter may have been before
			other.strays.rematch()
		}
	}
	if err := r.sub.connect(); err != nil { // also when it has none: the will is its
		return err
	}
	if err := at.connect(); err != nil {
		return err
	}
	if err := r.parking.RestoreOne(ctx, l); err != nil {
		return err
	}
	if err := asked.Wait(ctx); err != nil {
		return err
	}
	r.adoptMoved(at)
	c.warnUnsupported()
	return nil
}

// place returns the run that there is, and its session for s; nil without a run.
func (c *Client) place(s *Subscription) (r *run, at *subscriber, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.mayRegister(s); err != nil {
		return nil, nil, err
	}
	if r = c.run.Load(); r != nil {
		at, err = r.subscriber(s.Session)
	}
	return r, at, err
}

// enlist registers s with a run, or without one, unless there is another one by
// now: then the run has moved. What is wanted of the broker changes in the same
// moment: others may register and take back handlers of the filter, and the last
// change is the one that stands. Messages that were kept go to s first.
func (c *Client) enlist(s *Subscription, r *run, at *subscriber) (l *parking.Backlog, asked session.Wish, moved bool, err error) {
	if r != nil {
		at.strays.mu.Lock()
		defer at.strays.mu.Unlock()
	}
	l, asked, moved, err = c.join(s, r)
	if err == nil && !moved && r != nil {
		at.strays.remember(s)
		at.strays.adopt()
	}
	return l, asked, moved, err
}

func (c *Client) join(s *Subscription, r *run) (l *parking.Backlog, asked session.Wish, moved bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.mayRegister(s); err != nil {
		return nil, asked, false, err
	}
	if c.run.Load() != r {
		return nil, asked, true, nil
	}
	if r != nil {
		// Before the router knows it: a message of another filter may match.
		if err := r.prepare(s); err != nil {
			return nil, asked, false, err
		}
	}
	s.late = r != nil
	if err := c.register(s); err != nil {
		return nil, asked, false, err
	}
	if r != nil {
		// A retained message comes once for each SUBSCRIBE: a handler that is new
		// to the filter, and wants it, needs another one.
		if asked, err = s.at.AskFor(c.wanted(s.Session, s.Filter), s.retainHandling()); err != nil {
			c.takeOut(s)
			s.at.dismiss(s)
		}
	}
	return s.backlog, asked, false, err
}

// Unsubscribe removes a registration. Its handler finishes the messages that it has, and
// its parked messages go to another handler of the filter. Messages that still arrive for
// a filter without handlers are acknowledged and counted as unmatched: to replace a
// handler, register the new one first.
func (c *Client) Unsubscribe(ctx context.Context, s *Subscription) error {
	return c.takeBack(ctx, s, false)
}

// takeBack ends a registration, which failed or is not wanted any more. Of one
// that failed the broker may still have messages, from a session that is older:
// they are as wanted as before, and wait for another try like all that nothing
// matches.
func (c *Client) takeBack(ctx context.Context, s *Subscription, failed bool) error {
	if s.release != nil {
		s.release()
	}
	r, at, asked, heir := c.delist(s, failed)
	if heir != nil {
		r.parking.HandOver(ctx, s.backlog, heir)
	}
	gone, err := asked.Gone(ctx)
	if gone {
		r.filters.strike(ctx, at, s.Filter)
	}
	return err
}

// delist removes s. asked is what waits until the broker has removed its filter, if the
// filter is no longer needed and there is a run. heir is the backlog that takes over
// the messages that s parked.
func (c *Client) delist(s *Subscription, failed bool) (r *run, at *subscriber, asked session.Wish, heir *parking.Backlog) {
	if r = c.run.Load(); r != nil {
		at, _ = r.subscriber(s.Session) // is there: s was registered with it
	}
	if at != nil {
		at.strays.mu.Lock()
		defer at.strays.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.takeOut(s) {
		return r, at, asked, heir
	}
	left := c.wanted(s.Session, s.Filter)
	switch {
	case c.run.Load() == nil:
		if left.Filter == "" && c.last != nil && !failed {
			c.left[subscriptionName{s.Session, s.Filter}] = true
		}
	case at == nil || at.run != c.run.Load():
		// Stopped and started meanwhile: the run has it from the registration.
		at = s.at
		at.dismiss(s)
		if left.Filter == "" {
			asked = at.Forget(s.Filter)
		}
	default:
		at.dismiss(s)
		heir = c.heir(s)
		if left.Filter != "" {
			at.Lower(left)
			break
		}
		if !failed {
			at.strays.forget(s.Filter)
		}
		asked = at.Forget(s.Filter)
	}
	if at != nil {
		r = at.run
	}
	return r, at, asked, heir
}

// Confirm returns nil when the broker has answered, on each connection that
// subscribes, to something that was asked after the call.
func (c *Client) Confirm(ctx context.Context) error {
	r := c.current()
	if r == nil {
		return c.absent("connect", "")
	}
	for _, at := range r.subscribers() {
		if n, _, _ := at.Filters(); n == 0 {
			continue
		}
		if err := at.Confirm(ctx); err != nil {
			return err
		}
	}
	return nil
}

// warnUnsupported says once what MQTT 3.1.1 cannot do for a subscription.
func (c *Client) warnUnsupported() {
	r := c.current()
	if r == nil || r.version.Settled() != Version31 {
		return
	}
	c.mu.Lock()
	var filters []string
	for s := range c.subs {
		if (s.NoLocal || s.RetainHandling > 0) && !s.warned {
			s.warned = true
			filters = append(filters, s.Filter)
		}
	}
	mixed := c.mixedGroups()
	c.mu.Unlock()
	for _, m := range mixed {
		c.log.Warnf("mqtt: on MQTT 3.1.1 messages do not say which filter they came through: what comes for %q may also run the handler of %q, in each member of its group; use MQTT 5, or another client id for one of the two",
			m[0], m[1])
	}
	for _, f := range filters {
		c.log.Warnf("mqtt: filter %q: retain handling and no-local have no effect on MQTT 3.1.1", f)
	}
}

// clear has the broker forget a filter, unless somebody wants it again.
func (c *Client) clear(at *subscriber, filter string) (w session.Wish, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.left, subscriptionName{at.name, filter})
	if c.wanted(at.name, filter).Filter != "" {
		return w, false
	}
	return at.Clear(filter), true
}

// subscribeTimeout bounds the wait for a SUBACK or UNSUBACK of a call that has no
// context of its own.
const subscribeTimeout = 10 * time.Second

// Register is [Client.Subscribe] with a wait of up to 10 s for the SUBACK. topic is the
// filter as errors and the configuration name it.
func (c *Client) Register(topic string, s *Subscription) error {
	s.Letters = s.Letters || topic == c.cfg.DeadLetterTopic
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	_, err := c.Subscribe(ctx, s)
	return ErrorOf("subscribe", topic, err)
}

// Unregister takes a registration back and waits up to 10 s for the UNSUBACK. What
// still comes for a filter without handlers is acknowledged and counted.
func (c *Client) Unregister(topic string, s *Subscription) error {
	c.lasting.gaps.Forget() // what is published from now on is not meant for us
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	return ErrorOf("unsubscribe", topic, c.Unsubscribe(ctx, s))
}

var _ event.Subscriptions = (*Client)(nil)

// Granted implements [event.Subscriptions]: it returns how the subscriptions stand now.
func (c *Client) Granted() event.Granted { return c.lasting.Granted() }

// WatchGranted implements [event.Subscriptions]: f receives how they stand, and each
// change, on a goroutine of its own.
func (c *Client) WatchGranted(f func(event.Granted)) (stop func()) { return c.lasting.WatchGranted(f) }

// ConfirmGranted implements [event.Subscriptions]: it returns nil when the broker has
// answered on each connection that subscribes, within ctx.
func (c *Client) ConfirmGranted(ctx context.Context) error {
	if ctx == nil {
		return badRequest("connect", "", "context is nil")
	}
	return ErrorOf("connect", "", c.Confirm(ctx))
}
