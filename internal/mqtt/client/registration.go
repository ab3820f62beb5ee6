package client

import (
	"context"
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/identity"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Subscribe registers a handler. While running, it waits within ctx for the SUBACK; if the
// broker refuses, it returns an error and nothing stays registered. Before Start the filter
// becomes part of the first SUBSCRIBE. The returned function removes the registration, and
// unsubscribes the filter with its last one.
func (c *Client) Subscribe(ctx context.Context, s *Subscription) (remove func(context.Context) error, err error) {
	if ctx == nil {
		return nil, &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: errors.New("context is nil")}
	}
	if err := c.named(s); err != nil {
		return nil, err
	}
	if c.parts.takes(s) {
		if t := s.Typed; t != nil {
			c.lasting.names.add(t.Operation, t.Topic, s.Filter)
		}
		err := c.parts.subscribe(ctx, s)
		if r := c.current(); err == nil && r != nil {
			err = c.parts.start(r.base)
		}
		return func(ctx context.Context) error { return c.Unsubscribe(ctx, s) }, err
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
		if r, at, err = c.target(s); err != nil {
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
			_ = c.remove(ctx, s, true)
			return nil, err
		}
	}
	if s.Typed != nil && s.QoS > 0 && c.ClientID() == "" {
		c.lasting.unnamed.Do(func() {
			c.log.Warn("mqtt: no client id: messages published while the process is down are not kept: logged once", logsafe.KeyFilter, s.Filter)
		})
	}
	return func(ctx context.Context) error { return c.Unsubscribe(ctx, s) }, nil
}

// named names the group of a subscription. While the client runs, the name of the service does
// not become known any more.
func (c *Client) named(s *Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.nameGroup(s); err != nil {
		return err
	}
	if err := c.cfg.naming.unnamed; err != nil && c.run.Load() != nil {
		return err
	}
	return nil
}

// serviceName returns the name of the service, or an error if it is not known.
func (c *Client) serviceName() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	name, err := c.cfg.naming.replica.Expand("{service}", identity.ForGroup())
	return name.Text, err
}

// ApplicationName returns the name of an application, or "" if there is none. Its parameters are what
// FromContext of either version of Kratos returns.
func ApplicationName(app interface{ Name() string }, ok bool) string {
	if !ok {
		return ""
	}
	return app.Name()
}

// NameService sets the name of the service that templates of client ids and groups use, unless
// the code or the environment has one. A front calls it before Start with the name of the
// application; between Start and Stop it has no effect. "" changes nothing.
func (c *Client) NameService(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := &c.cfg.naming
	if name == "" || n.replica.Service != "" || c.run.Load() != nil {
		return nil
	}
	n.replica.Service, n.unnamed = name, nil
	if err := c.cfg.identify(); err != nil {
		return configError(err)
	}
	if c.sequence != nil {
		c.sequence.Rename(c.cfg.ClientID)
	}
	return c.regroup()
}

// await waits within ctx until a subscription that was registered while running has its
// session, its parked messages and its grant.
func (c *Client) await(ctx context.Context, r *run, at *subscriber, l *parking.Backlog, asked session.Wish) error {
	for _, other := range r.subscribers() {
		if other != at { // the session that may have had the filter before
			other.unmatched.rematch()
		}
	}
	if err := r.sub.connect(); err != nil { // also without subscriptions, because it has the will
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

// target returns the current run and its session for s; nil without a run.
func (c *Client) target(s *Subscription) (r *run, at *subscriber, err error) {
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

// enlist registers s with the run r, or without one. It reports moved if another run has
// begun by now. What the broker is asked for changes under the same lock, so that the last
// of concurrent registrations and removals decides. Messages that were kept go to s first.
func (c *Client) enlist(s *Subscription, r *run, at *subscriber) (l *parking.Backlog, asked session.Wish, moved bool, err error) {
	if r != nil {
		at.unmatched.mu.Lock()
		defer at.unmatched.mu.Unlock()
	}
	l, asked, moved, err = c.join(s, r)
	if err == nil && !moved && r != nil {
		at.unmatched.filterWanted(s)
		at.unmatched.deliverMatched()
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
		// Before the router has it: messages of another filter may match.
		if err := r.prepare(s); err != nil {
			return nil, asked, false, err
		}
	}
	s.late = r != nil
	if err := c.register(s); err != nil {
		return nil, asked, false, err
	}
	if r != nil {
		// A retained message is sent once for each SUBSCRIBE: a new handler of the filter
		// that wants it needs another SUBSCRIBE.
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
	if found, err := c.parts.remove(ctx, s); found {
		return err
	}
	return c.remove(ctx, s, false)
}

// remove ends a registration that failed or is no longer wanted. If it failed, the broker
// may still have messages for it from an earlier session: they wait for another
// registration like all unmatched messages.
func (c *Client) remove(ctx context.Context, s *Subscription, failed bool) error {
	if s.release != nil {
		s.release()
	}
	r, at, asked, successor := c.delist(s, failed)
	if successor != nil {
		r.parking.HandOver(ctx, s.backlog, successor)
	}
	gone, err := asked.Gone(ctx)
	if gone {
		r.filters.remove(ctx, at, s.Filter)
	}
	return err
}

// delist removes s. asked waits until the broker has removed its filter, if the filter is
// no longer needed and there is a run. successor is the backlog that takes over the
// messages that s parked.
func (c *Client) delist(s *Subscription, failed bool) (r *run, at *subscriber, asked session.Wish, successor *parking.Backlog) {
	if r = c.run.Load(); r != nil {
		at, _ = r.subscriber(s.Session) // it exists, because s was registered with it
	}
	if at != nil {
		at.unmatched.mu.Lock()
		defer at.unmatched.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.takeOut(s) {
		return r, at, asked, successor
	}
	left := c.wanted(s.Session, s.Filter)
	switch {
	case c.run.Load() == nil:
		if left.Filter == "" && c.last != nil && !failed {
			c.removedWhileStopped[subscriptionName{s.Session, s.Filter}] = true
		}
	case at == nil || at.run != c.run.Load():
		// The client was stopped and started meanwhile: the new run has the filter from the
		// registration.
		at = s.at
		at.dismiss(s)
		if left.Filter == "" {
			asked = at.Forget(s.Filter)
		}
	default:
		at.dismiss(s)
		successor = c.successor(s)
		if left.Filter != "" {
			at.Lower(left)
			break
		}
		if !failed {
			at.unmatched.filterRemoved(s.Filter)
		}
		asked = at.Forget(s.Filter)
	}
	if at != nil {
		r = at.run
	}
	return r, at, asked, successor
}

// Pause stops the handlers of the subscriptions with a name, an operation or a topic filter,
// until [Client.Resume], also over Stop and Start. It waits within ctx for those that run; an
// error TIMEOUT or CANCELED means that some still do.
func (c *Client) Pause(ctx context.Context, name string, opts ...event.PauseOption) error {
	return pauseNamed(ctx, c, name, opts)
}

// Resume ends what [Client.Pause] began, and the pause of an open breaker, which makes its
// next attempt at once.
func (c *Client) Resume(ctx context.Context, name string) error {
	return resumeNamed(ctx, c, name)
}

// Subscriptions returns all subscriptions by name, those of one operation as one.
func (c *Client) Subscriptions() []event.SubscriptionPause {
	if r := c.run.Load(); r != nil {
		return r.breakers.pauses(true)
	}
	return stoppedSubscriptions(c)
}

// Confirm returns nil when the broker has answered, on each connection that subscribes, a
// request that was sent after the call.
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

// warnUnsupported logs once what MQTT 3.1.1 cannot do for a subscription.
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
		c.log.Warn("mqtt: on MQTT 3.1.1 messages do not say which filter they came through: what comes for one may also run the handler of the other, in each member of its group; use MQTT 5, or another client id for one of the two",
			logsafe.KeyFilter, m[0], logsafe.KeyNames, m[1])
	}
	for _, f := range filters {
		c.log.Warn("mqtt: retain handling and no-local have no effect on MQTT 3.1.1", logsafe.KeyFilter, f)
	}
}

// clear unsubscribes a filter, unless it is wanted again.
func (c *Client) clear(at *subscriber, filter string) (w session.Wish, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.removedWhileStopped, subscriptionName{at.name, filter})
	if c.wanted(at.name, filter).Filter != "" {
		return w, false
	}
	return at.Clear(filter), true
}

// subscribeTimeout bounds the wait for a SUBACK or UNSUBACK of a call that has no
// context of its own.
const subscribeTimeout = 10 * time.Second

// Register is [Client.Subscribe] with a wait of up to 10 s for the SUBACK. topic is the
// filter as it is named in errors and the configuration.
func (c *Client) Register(topic string, s *Subscription) error {
	s.Letters = s.Letters || topic == c.cfg.DeadLetterTopic
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	_, err := c.Subscribe(ctx, s)
	return ErrorOf("subscribe", topic, err)
}

// Unregister removes a registration and waits up to 10 s for the UNSUBACK. Messages that
// still arrive for a filter without handlers are acknowledged and counted.
func (c *Client) Unregister(topic string, s *Subscription) error {
	c.lasting.gaps.Forget() // messages published from now on may not reach us
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	return ErrorOf("unsubscribe", topic, c.Unsubscribe(ctx, s))
}

var _ event.Subscriptions = (*Client)(nil)

// SubscriptionState implements [event.Subscriptions]: it returns the current state of the
// subscriptions.
func (c *Client) SubscriptionState() event.SubscriptionState { return c.lasting.SubscriptionState() }

// WatchSubscriptions implements [event.Subscriptions]: f receives the current state and
// each change, on a goroutine of its own.
func (c *Client) WatchSubscriptions(f func(event.SubscriptionState)) (stop func()) {
	return c.lasting.WatchSubscriptions(f)
}

// ConfirmSubscriptions implements [event.Subscriptions]: it returns nil when the broker has
// answered on each connection that subscribes, within ctx.
func (c *Client) ConfirmSubscriptions(ctx context.Context) error {
	if ctx == nil {
		return BadRequest("connect", "", "context is nil")
	}
	return ErrorOf("connect", "", c.Confirm(ctx))
}
