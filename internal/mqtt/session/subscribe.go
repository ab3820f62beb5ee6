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

// Want adds a filter that is requested at the next opportunity. Before Start it
// only registers the filter for the first SUBSCRIBE. A refused filter stays
// wanted and is requested again on the next connection.
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
		err = errors.New("no sink for the messages")
	}
	if err != nil {
		return nil, &event.Error{Op: opSubscribe, Topic: f.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	return s.subs.add(f, tentative, retain), nil
}

// Subscribe requests a filter and waits within ctx until the broker has granted
// or refused it. After a refusal the filter is no longer wanted, or wanted as
// before. If ctx ends first, or the answer cannot be read because there is no
// room, it stays wanted.
func (s *Session) Subscribe(ctx context.Context, f Filter) error {
	w, err := s.Ask(f)
	if err != nil {
		return err
	}
	return w.Wait(ctx)
}

// Unsubscribe removes a filter. If connected it waits within ctx for the
// UNSUBACK, unless that cannot be read because there is no room.
func (s *Session) Unsubscribe(ctx context.Context, filter string) error {
	_, err := s.Forget(filter).Gone(ctx)
	return err
}

// overError returns the error for a caller that waits when the session has
// ended.
func (s *Session) overError(op, name string) error {
	if s.running.Err() != nil {
		return &event.Error{Op: op, Topic: name, Reason: event.ReasonClosed, Cause: errStopped}
	}
	return &event.Error{Op: op, Topic: name, Reason: event.ReasonNotConnected, Cause: s.Status().LastError}
}

// Ask requests a filter like [Session.Subscribe] but does not wait. A filter
// that is granted as requested is not requested again.
func (s *Session) Ask(f Filter) (Wish, error) { return s.AskFor(f, retainNew) }

// AskFor is like Ask for a new subscriber to the filter, which has its own retain
// handling. With 0 a filter that is already granted is requested again, which makes the
// broker send its retained messages. With 2 a change does not make it send them.
func (s *Session) AskFor(f Filter, retain byte) (Wish, error) {
	w, err := s.want(f, true, retain)
	return Wish{s, w}, err
}

// Lower requests a lower QoS than was granted, for the remaining subscribers, if the
// broker does not send retained messages again because of it. On MQTT 3.1.1 the change
// is made in the next session. A filter that is not granted yet or was refused is not
// changed.
func (s *Session) Lower(f Filter) { s.subs.lower(f) }

// Forget removes a filter without waiting for the UNSUBACK.
func (s *Session) Forget(filter string) Wish { return Wish{s, s.subs.remove(filter, false)} }

// Clear makes the broker remove a filter that an earlier run may have left in
// the session. It does nothing to a filter that is wanted, and does not wait.
func (s *Session) Clear(filter string) Wish { return Wish{s, s.subs.remove(filter, true)} }
