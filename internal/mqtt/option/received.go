package option

import (
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// Received is one message in one handler as an event of kratos-transport, whose message is
// an M. It belongs to one attempt.
type Received[M any] struct {
	*client.Delivery
	// Msg is the decoded message.
	Msg M
	// Err is the cause in a generic error handler, else nil.
	Err error
}

// Topic returns the topic name that the message was published on.
func (e *Received[M]) Topic() string { return e.Delivery.Topic }

// Message returns the decoded message. Its AckSuccess is the event's Ack. A body that
// is the payload's bytes must not be changed: further attempts, other handlers and the
// dead letter have the same bytes. It may keep up to 4 KiB of other messages; copy it to
// keep it for long.
func (e *Received[M]) Message() *M { return &e.Msg }

// RawMessage returns the client's delivery, which has more than this interface, also if
// a middleware has wrapped the event.
func (e *Received[M]) RawMessage() any { return e.Delivery }

// Ack acknowledges the message if the subscription disabled automatic acknowledgement.
// Otherwise the message is acknowledged when the handler returns nil. It may be called
// later and from any goroutine; further calls do nothing.
func (e *Received[M]) Ack() error {
	e.Delivery.Ack()
	return nil
}

// Error returns why the message is dead-lettered. It is set in the generic error
// handler.
func (e *Received[M]) Error() error { return e.Err }

// QoS returns the QoS of the delivery.
func (e *Received[M]) QoS() byte { return e.Delivery.QoS }

// Retained reports whether the message is a retained one.
func (e *Received[M]) Retained() bool { return e.Delivery.Retain }

// Duplicate reports whether the broker may have delivered the message before.
func (e *Received[M]) Duplicate() bool { return e.Delivery.Duplicate }

// Payload returns the payload as it arrived.
func (e *Received[M]) Payload() []byte { return e.Delivery.Payload }

// Published returns the message as it was delivered, in the memory of the event.
func (e *Received[M]) Published() message.Message { return envelope.ViewArrived(e.Inbound) }

// AllHeaders returns all headers, in order.
func (e *Received[M]) AllHeaders() []message.Header {
	return append([]message.Header(nil), e.Header()...)
}

// Message is one message in one handler, for fronts that do not know kratos-transport.
type Message struct{ Received[any] }

// NewMessage returns a message with this body.
func NewMessage(d *client.Delivery, body any) *Message {
	return &Message{Received[any]{Delivery: d, Msg: body}}
}

// Body returns the decoded message.
func (m *Message) Body() any { return m.Msg }
