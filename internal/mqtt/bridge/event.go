package bridge

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// Event is one message on its way through one handler, as kratos-transport
// shows it. It belongs to one attempt.
type Event struct {
	envelope.Event
	delivery *client.Delivery
	codec    envelope.Codec // the subscription's
	msg      broker.Message
	err      error
	begun    bool   // the handler was called
	mismatch string // field that the payload had otherwise than the topic
}

var _ broker.Event = (*Event)(nil)

// arrival is a delivery with the event of its first attempt.
type arrival struct {
	client.Delivery
	event Event
}

// newDelivery allocates both at once.
func newDelivery() *client.Delivery {
	a := new(arrival)
	a.Front = &a.event
	return &a.Delivery
}

// headersOf keeps the last value of a key, because kratos-transport's headers
// are single-valued.
func headersOf(list []client.UserProperty) broker.Headers {
	if len(list) == 0 {
		return nil
	}
	h := make(broker.Headers, len(list))
	for _, u := range list {
		h[u.Key] = u.Value
	}
	return h
}

// Topic is the name that the message was published on.
func (e *Event) Topic() string { return e.delivery.Topic }

// Message is the decoded message. Its AckSuccess is the event's Ack. A body that is
// the payload's bytes shares up to 4 KiB of memory with other messages: who keeps it
// for long takes a copy.
func (e *Event) Message() *broker.Message { return &e.msg }

// RawMessage is the event itself, which knows more than the interface shows,
// whatever a middleware wrapped around it.
func (e *Event) RawMessage() any { return e }

// Delivery is the message as it arrived.
func (e *Event) Delivery() *client.Delivery { return e.delivery }

// Ack acknowledges the message when the subscription disabled automatic
// acknowledgement; otherwise a nil error of the handler does. It may be called
// later and from any goroutine; again it does nothing.
func (e *Event) Ack() error {
	e.delivery.Ack()
	return nil
}

// Error is why the message is dead-lettered, in the generic error handler.
func (e *Event) Error() error { return e.err }
