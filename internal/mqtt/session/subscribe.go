package session

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
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
		return nil, &event.Error{Op: opSubscribe, Topic: logsafe.Clip(f.Filter), Reason: event.ReasonBadTopic, Cause: err}
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
