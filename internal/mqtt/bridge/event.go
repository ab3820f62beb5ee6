package bridge

import (
	"cmp"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Event is one message on its way through one handler, as kratos-transport
// shows it. It belongs to one attempt.
type Event struct {
	delivery *client.Delivery
	ce       *cloudEvent // nil unless the message is a structured event
	header   []client.UserProperty
	codec    encoding.Codec // the subscription's
	msg      broker.Message
	err      error
	id       string // of the field that is declared for it
	begun    bool   // the handler was called
	mismatch string // field that the payload had otherwise than the topic
	state    *state // nil unless a handler gets the event
	trusted  bool   // the sender, with the context of the handler
}

var _ broker.Event = (*Event)(nil)

// bareEvent shows a delivery as nothing but its payload.
func bareEvent(d *client.Delivery) *Event {
	e := &Event{delivery: d}
	e.msg = broker.Message{Partition: -1, Offset: -1, Msg: e}
	return e
}

// newEvent shows a delivery that is not decoded yet. The event is there also
// with an error.
func newEvent(d *client.Delivery, carrier bool) (*Event, error) {
	e := &Event{delivery: d}
	var err error
	if carrier || d.Properties != nil {
		e.ce, err = unwrap(d, carrier)
		e.header = header(d, e.ce)
	}
	e.msg = broker.Message{ID: e.ID(), Headers: headersOf(e.header), Partition: -1, Offset: -1, Msg: e}
	return e, err
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

// Message is the decoded message. Its AckSuccess is the event's Ack.
func (e *Event) Message() *broker.Message { return &e.msg }

// RawMessage is the event itself, which knows more than the interface shows,
// whatever a middleware wrapped around it.
func (e *Event) RawMessage() any { return e }

// Delivery is the message as it arrived.
func (e *Event) Delivery() *client.Delivery { return e.delivery }

// Header is what came beside the payload, with all values of a key, in order.
func (e *Event) Header() []client.UserProperty { return e.header }

// ID is the message's id: that of the field that is declared for it, once the
// message is decoded, else its user property "id", else the id of its CloudEvent,
// else "".
func (e *Event) ID() string { return cmp.Or(e.id, headerID(e.header)) }

// source is that of a CloudEvent whose id counts, which is unique within it; ""
// where another id counts.
func (e *Event) source() string {
	if e.id != "" {
		return ""
	}
	if _, binary := last(e.header, attrSpecVersion); e.ce == nil && !binary {
		return ""
	}
	source, _ := last(e.header, attrSource)
	return source
}

// Payload is the data of the message, without the event around it.
func (e *Event) Payload() []byte {
	if e.ce != nil {
		return e.ce.data
	}
	return e.delivery.Payload
}

// ContentType names the encoding of the payload; "" is not known.
func (e *Event) ContentType() string {
	switch {
	case e.ce != nil:
		return e.ce.contentType
	case e.delivery.Properties != nil:
		return e.delivery.Properties.ContentType
	}
	return ""
}

// reply returns where a reply is wanted, "" for nowhere, and what ties it to the
// request.
func (e *Event) reply() (topic string, correlation []byte) {
	if p := e.delivery.Properties; p != nil && (p.ResponseTopic != "" || p.CorrelationData != nil) {
		return p.ResponseTopic, p.CorrelationData
	}
	if e.ce != nil {
		return e.ce.response, e.ce.correlation
	}
	return "", nil
}

// Ack acknowledges the message when the subscription disabled automatic
// acknowledgement; otherwise a nil error of the handler does. It may be called
// later and from any goroutine; again it does nothing.
func (e *Event) Ack() error {
	e.delivery.Ack()
	return nil
}

// Error is why the message is dead-lettered, in the generic error handler.
func (e *Event) Error() error { return e.err }
