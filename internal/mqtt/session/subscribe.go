package session

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

const (
	opSubscribe   = "subscribe"
	opUnsubscribe = "unsubscribe"
)

// Want adds a filter that is subscribed to at the next opportunity. Before
// Start it only registers: the filter is part of the first SUBSCRIBE. A filter
// that is refused stays wanted and is tried again on the next connection.
func (s *Session) Want(f Filter) error {
	_, err := s.want(f, false, retainNew)
	return err
}

func (s *Session) want(f Filter, tentative bool, retain byte) (*wanted, error) {
	if err := topic.ValidateFilter(f.Filter); err != nil {
		return nil, &event.Error{Op: opSubscribe, Topic: shorten(f.Filter), Reason: event.ReasonBadTopic, Cause: err}
	}
	var err error
	switch {
	case f.QoS > 2:
		err = errors.New("QoS over 2")
	case s.cfg.Sink == nil:
		err = errors.New("nobody takes the messages: no sink")
	}
	if err != nil {
		return nil, &event.Error{Op: opSubscribe, Topic: f.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	return s.subs.add(f, tentative, retain), nil
}

// Subscribe wants a filter and waits, within ctx, until the broker has granted
// or refused it. A refused filter is not wanted any more, or as it was before;
// when ctx ends first, or the answer cannot be read for want of room, it stays
// wanted.
func (s *Session) Subscribe(ctx context.Context, f Filter) error {
	w, err := s.Ask(f)
	if err != nil {
		return err
	}
	return w.Wait(ctx)
}

// Unsubscribe stops wanting a filter and waits, within ctx, for the UNSUBACK
// when connected, unless that cannot be read for want of room.
func (s *Session) Unsubscribe(ctx context.Context, filter string) error {
	_, err := s.Forget(filter).Gone(ctx)
	return err
}

// overError is for callers that wait when the session has ended.
func (s *Session) overError(op, name string) error {
	if s.running.Err() != nil {
		return &event.Error{Op: op, Topic: name, Reason: event.ReasonClosed, Cause: errStopped}
	}
	return &event.Error{Op: op, Topic: name, Reason: event.ReasonNotConnected, Cause: s.Status().LastError}
}
