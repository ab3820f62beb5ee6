package session

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Wish is a change of the subscriptions whose answer can be waited for. It stands
// from the moment it was asked for: who decides under a lock of its own what is
// wanted asks under that lock, and waits without it. The zero value is none.
type Wish struct {
	session *Session
	wanted  *wanted
}

// Ask wants a filter as [Session.Subscribe] does, without the wait. One that is
// granted as it is wanted is not asked for again.
func (s *Session) Ask(f Filter) (Wish, error) { return s.AskFor(f, retainNew) }

// AskFor is Ask for somebody who is new to the filter, with a retain handling of
// its own: for 0 a filter that the broker has granted already is asked for once
// more, which brings its retained messages, and for 2 a change brings none.
func (s *Session) AskFor(f Filter, retain byte) (Wish, error) {
	w, err := s.want(f, true, retain)
	return Wish{s, w}, err
}

// Lower asks for less than was granted, for those who are left, where that brings
// nobody a retained message again: MQTT 3.1.1 leaves it for the next session.
// What is not granted yet, or is refused, stays as it was.
func (s *Session) Lower(f Filter) { s.subs.lower(f) }

// Forget stops wanting a filter, without the wait for the UNSUBACK.
func (s *Session) Forget(filter string) Wish { return Wish{s, s.subs.remove(filter, false)} }

// Clear has the broker forget a filter that an earlier run may have left in the
// session. It does nothing to one that is wanted, and does not wait.
func (s *Session) Clear(filter string) Wish { return Wish{s, s.subs.remove(filter, true)} }

// Gone waits, within ctx, for the UNSUBACK when connected, and reports whether it
// came. When the broker refuses, which MQTT 5 lets it, it may go on to deliver
// what matches.
func (h Wish) Gone(ctx context.Context) (gone bool, err error) {
	s, w := h.session, h.wanted
	if w == nil || !w.removed || !s.Status().Connected {
		return false, nil
	}
	select {
	case <-w.settled:
		return w.err == nil, w.err
	case <-s.jam.wait():
		if w.isSettled() {
			return w.err == nil, w.err
		}
		return false, &event.Error{Op: opUnsubscribe, Topic: w.Filter.Filter, Reason: event.ReasonQuota, Cause: errFullUp}
	case <-ctx.Done():
		return false, &event.Error{Op: opUnsubscribe, Topic: w.Filter.Filter, Reason: gaveUp(ctx.Err()), Cause: ctx.Err()}
	case <-s.done:
		return false, nil
	}
}

// Answered waits, within ctx and over reconnects, for the broker's answer, or for
// another wish in the place of this one, and returns the refusal.
func (h Wish) Answered(ctx context.Context) error {
	if h.wanted == nil {
		return nil
	}
	select {
	case <-h.wanted.settled:
		return h.wanted.err
	case <-ctx.Done():
		return ctx.Err()
	case <-h.session.done:
		return h.session.overError(opUnsubscribe, h.wanted.Filter.Filter)
	}
}

// Wait returns nil once the broker has granted the filter, or what took its
// place, and otherwise why not.
func (h Wish) Wait(ctx context.Context) error {
	s, w := h.session, h.wanted
	for w != nil {
		filter := w.Filter.Filter
		select {
		case <-w.settled:
		case <-s.jam.wait():
			if !w.isSettled() {
				return &event.Error{Op: opSubscribe, Topic: filter, Reason: event.ReasonQuota, Cause: errFullUp}
			}
		case <-ctx.Done():
			up := s.Status().Connected
			return &event.Error{Op: opSubscribe, Topic: filter, Reason: waitReason(up, ctx.Err()), Cause: s.downCause(up, ctx.Err())}
		case <-s.done:
			return s.overError(opSubscribe, filter)
		}
		if w.err != nil {
			return w.err
		}
		if w = s.subs.successor(w); w != nil && w.removed {
			return &event.Error{Op: opSubscribe, Topic: filter, Reason: event.ReasonCanceled, Cause: errors.New("unsubscribed meanwhile")}
		}
	}
	return nil
}

// WaitConnected returns nil once there is a connection; the filters that a lost
// session took along are then asked for again. Without one it returns at once why
// the last attempt failed when that is hopeless.
func (s *Session) WaitConnected(ctx context.Context, hopeless func(error) bool) error {
	now, err := s.state.wait(ctx, func(st Status) bool {
		return st.Connected || st.Ended || st.LastError != nil && hopeless(st.LastError)
	})
	switch {
	case now.Connected:
		return nil
	case err != nil:
		return &event.Error{Op: opConnect, Reason: event.ReasonNotConnected, Cause: s.downCause(false, err)}
	case now.Ended:
		return s.overError(opConnect, "")
	}
	return now.LastError
}
