package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// received is one message in one handler, as a kratos-transport event. It belongs to
// one attempt.
type received struct {
	*client.Delivery
	msg broker.Message
	err error
}

var _ broker.Event = (*received)(nil)

// arrival is a delivery with the event of its first attempt.
type arrival struct {
	client.Delivery
	event received
}

// newDelivery allocates both at once.
func newDelivery() *client.Delivery {
	a := new(arrival)
	a.Front = &a.event
	return &a.Delivery
}

// newReceived returns the event of a delivery that was decoded.
func newReceived(d *client.Delivery) *received {
	e, ok := d.Front.(*received)
	if d.Front = nil; !ok { // a handler may have kept that of an earlier attempt
		e = new(received)
	}
	e.Delivery = d
	e.msg = broker.Message{ID: d.ID(), Headers: headersOf(d.Header()), Partition: -1, Offset: -1, Msg: e, Body: d.Body}
	return e
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

// Topic returns the topic name that the message was published on.
func (e *received) Topic() string { return e.Delivery.Topic }

// Message returns the decoded message. Its AckSuccess is the event's Ack. A body that
// is the payload's bytes may keep up to 4 KiB of other messages in memory; copy it to
// keep it for long.
func (e *received) Message() *broker.Message { return &e.msg }

// RawMessage returns the client's delivery, which has more than this interface, also if
// a middleware has wrapped the event.
func (e *received) RawMessage() any { return e.Delivery }

// Ack acknowledges the message if the subscription disabled automatic acknowledgement.
// Otherwise the message is acknowledged when the handler returns nil. It may be called
// later and from any goroutine; further calls do nothing.
func (e *received) Ack() error {
	e.Delivery.Ack()
	return nil
}

// Error returns why the message is dead-lettered. It is set in the generic error
// handler.
func (e *received) Error() error { return e.err }
