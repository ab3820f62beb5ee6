package session

import (
	"context"
	"errors"
)

// Wish is a filter that was asked for, to be waited for when no lock is held.
// The zero value is none.
type Wish struct {
	session *Session
	wanted  *wanted
}

// Ask wants a filter as [Session.Subscribe] does, without the wait.
func (s *Session) Ask(f Filter) (Wish, error) {
	w, err := s.want(f, true)
	return Wish{s, w}, err
}

// Forget stops wanting a filter without waiting for the UNSUBACK.
func (s *Session) Forget(filter string) { s.subs.remove(filter) }

// Wait returns nil once the broker has granted the filter, or what took its
// place, and otherwise why not.
func (h Wish) Wait(ctx context.Context) error {
	s, w := h.session, h.wanted
	for w != nil {
		filter := w.Filter.Filter
		select {
		case <-w.settled:
		case <-ctx.Done():
			up := s.Status().Connected
			return &Error{Op: opSubscribe, Topic: filter, Reason: waitReason(up, ctx.Err()), Cause: s.downCause(up, ctx.Err())}
		case <-s.done:
			return s.overError(opSubscribe, filter)
		}
		if w.err != nil {
			return w.err
		}
		if w = s.subs.successor(w); w != nil && w.removed {
			return &Error{Op: opSubscribe, Topic: filter, Reason: ReasonCanceled, Cause: errors.New("unsubscribed meanwhile")}
		}
	}
	return nil
}

// WaitConnected returns nil once there is a connection; the filters that a lost
// session took along are then asked for again.
func (s *Session) WaitConnected(ctx context.Context) error {
	now, err := s.state.wait(ctx, func(st Status) bool { return st.Connected || st.Ended })
	if now.Connected {
		return nil
	}
	if err == nil {
		return s.overError(opConnect, "")
	}
	return &Error{Op: opConnect, Reason: ReasonNotConnected, Cause: s.downCause(false, err)}
}
