package bridge

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// Event is one message on its way through one handler, as kratos-transport
// shows it.
type Event struct {
	delivery *engine.Delivery
	msg      broker.Message
	err      error
}

var _ broker.Event = (*Event)(nil)

// newEvent shows a delivery that is not decoded yet.
func newEvent(d *engine.Delivery) *Event {
	e := &Event{delivery: d}
	e.msg = broker.Message{Headers: headersOf(d), Partition: -1, Offset: -1, Msg: e}
	return e
}

// headersOf keeps the last value of a key, because kratos-transport's headers
// are single-valued; the raw message has them all.
func headersOf(d *engine.Delivery) broker.Headers {
	if d.Properties == nil || len(d.Properties.User) == 0 {
		return nil
	}
	h := make(broker.Headers, len(d.Properties.User))
	for _, u := range d.Properties.User {
		h[u.Key] = u.Value
	}
	return h
}

// Topic is the name that the message was published on.
func (e *Event) Topic() string { return e.delivery.Topic }

// Message is the decoded message. Its AckSuccess is the event's Ack.
func (e *Event) Message() *broker.Message { return &e.msg }

// RawMessage is the *[engine.Delivery] that the event is about.
func (e *Event) RawMessage() any { return e.delivery }

// Ack acknowledges the message when the subscription disabled automatic
// acknowledgement; otherwise a nil error of the handler does. It may be called
// later and from any goroutine; again it does nothing.
func (e *Event) Ack() error {
	e.delivery.Ack()
	return nil
}

// Error is why the message is dead-lettered, in the generic error handler.
func (e *Event) Error() error { return e.err }
