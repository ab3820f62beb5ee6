package session

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Wish is a requested change of the subscriptions whose answer can be waited
// for. The request is valid immediately: a caller that decides under its own
// lock can make the request under that lock and wait without it. The zero value
// means that there is nothing to wait for.
type Wish struct {
	session *Session
	wanted  *wanted
}

// Gone waits within ctx for the UNSUBACK if connected, and reports whether it
// arrived. If the broker refuses, as MQTT 5 allows, it may continue to deliver
// matching messages.
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

// Answered waits, within ctx and across reconnects, for the broker's answer to
// this request or to one that replaced it, and returns the refusal.
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

// Wait returns nil when the broker has granted the filter or the request that
// replaced it, and otherwise the reason.
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
