package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Subscribe registers a handler. While running it waits, within ctx, for the
// SUBACK, and a refusal is an error that leaves nothing registered; before
// Start the filter becomes part of the first SUBSCRIBE. The function returned
// takes the registration back, and the filter with its last one.
func (c *Client) Subscribe(ctx context.Context, s *Subscription) (remove func(context.Context) error, err error) {
	if ctx == nil {
		return nil, &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: errors.New("context is nil")}
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

// late reports whether what is being registered after Start makes the filter one
// that comes after it: no other registration was there before.
func (c *Client) late(s *Subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, late := c.registered(s.Session, s.Filter)
	return late
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

func (c *Client) mayRegister(s *Subscription) error {
	if c.subs[s] != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: errors.New("registered already")}
	}
	if err := c.sharesSession(s); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	if c.cfg.Preset.NoShared && s.shared() {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonUnsupported, Cause: fmt.Errorf(
			"%s delivers nothing on shared subscriptions (queue name, group)", c.cfg.Preset.Name)}
	}
	if err := c.oneGroup(s); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	if why := c.cannotPark(s); s.Exhausted == event.ExhaustedPark && why != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: why}
	}
	return nil
}

// oneGroup refuses a second group of a filter where the broker knows no groups.
func (c *Client) oneGroup(s *Subscription) error {
	if c.cfg.SharePrefix != topic.GroupLess || !s.shared() {
		return nil
	}
	for other := range c.subs {
		if other.shared() && other.Filter != s.Filter && topic.Unshared(other.Filter) == topic.Unshared(s.Filter) {
			return fmt.Errorf("%s has no groups: all shared subscriptions of a filter are one, want one group for them", topic.GroupLess)
		}
	}
	return nil
}

func (c *Client) register(s *Subscription) error {
	if err := c.mayRegister(s); err != nil {
		return err
	}
	s.id, s.levels = session.FilterID(s.Filter), topic.GuardedLevels(s.Filter) // before a message can find it
	remove, err := c.router.Add(s.Filter, s)
	if err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadTopic, Cause: err}
	}
	if most := c.cfg.Preset.MaxQoS; most > 0 && s.QoS > most && !s.capped {
		s.capped = true
		c.log.Warnf("mqtt: filter %q wants QoS %d, %s grants at most %d: that is asked for", s.Filter, s.QoS, c.cfg.Preset.Name, most)
	}
	c.subs[s], c.had = remove, true
	c.known[s.id]++
	delete(c.left, subscriptionName{s.Session, s.Filter})
	c.same[s.Filter] = append(c.same[s.Filter], s)
	return nil
}

// hadSubscriptions reports whether there ever was a registration.
func (c *Client) hadSubscriptions() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.had
}

// Unsubscribe takes a registration back. Messages already handed to its
// handler are finished, and what it parked goes to another handler of the filter. What the broker has on its way for a filter without
// handlers is acknowledged and counted as unmatched: to replace a handler,
// register the new one first.
func (c *Client) Unsubscribe(ctx context.Context, s *Subscription) error {
	return c.takeBack(ctx, s, false)
}

// takeBack ends a registration, which failed or is not wanted any more. Of one
// that failed the broker may still have messages, from a session that is older:
// they are as wanted as before, and wait for another try like all that nothing
// matches.
func (c *Client) takeBack(ctx context.Context, s *Subscription, failed bool) error {
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

// delist takes s out; asked is what waits for the end of its filter, when that
// does not stay and there is a run, and heir is who has what s parked then.
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

// takeOut reports whether s was registered. The lock is held.
func (c *Client) takeOut(s *Subscription) bool {
	remove := c.subs[s]
	if remove == nil {
		return false
	}
	remove()
	delete(c.subs, s)
	id := s.id
	if c.known[id]--; c.known[id] == 0 {
		delete(c.known, id)
	}
	if left := slices.DeleteFunc(c.same[s.Filter], func(x *Subscription) bool { return x == s }); len(left) > 0 {
		c.same[s.Filter] = left
	} else {
		delete(c.same, s.Filter)
	}
	return true
}

// wanted joins the registrations of one filter on one session into what is asked
// of the broker: the highest QoS, retained messages if any wants them, our own
// messages unless none does. The zero value means that nobody wants it.
func (c *Client) wanted(name, filter string) (f session.Filter) {
	for _, s := range c.same[filter] {
		if s.Session != name {
			continue
		}
		if f.Filter == "" {
			f = session.Filter{Filter: filter, RetainHandling: s.retainHandling(), NoLocal: s.NoLocal}
		}
		f.QoS = max(f.QoS, s.QoS)
		f.RetainHandling = min(f.RetainHandling, s.retainHandling())
		f.NoLocal = f.NoLocal && s.NoLocal
	}
	if most := c.cfg.Preset.MaxQoS; most > 0 {
		f.QoS = min(f.QoS, most) // the broker grants no more
	}
	return f
}
