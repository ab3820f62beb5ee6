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
	case <-s.in.jam.wait():
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
		case <-s.in.jam.wait():
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
