package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// received is one message in one handler, as a kratos-transport event.
type received = option.Received[broker.Message]

var _ Received = (*received)(nil)

// Received is a kratos-transport event with what MQTT adds to it. The events that
// [Broker.Subscribe] passes to handlers implement it, unless a middleware replaces them. It
// belongs to one attempt and to the goroutine of the handler, and has no effect on the
// acknowledgement. Bytes that it returns must not be changed, and must be copied to be kept.
type Received interface {
	broker.Event
	// QoS returns the QoS at which the broker delivered the message.
	QoS() byte
	// Retained reports whether the message is a retained one.
	Retained() bool
	// Duplicate reports whether the broker may have delivered the message before.
	Duplicate() bool
	// ID returns the id of the message: its user property "id" (MQTT 5), else the id of its
	// CloudEvent, else "".
	ID() string
	// ContentType returns the content type of Data, or "" if it is not known.
	ContentType() string
	// AllHeaders returns the user properties (MQTT 5) and the attributes of the CloudEvent, with
	// all values of a name, in order.
	AllHeaders() []message.Header
	// Payload returns the payload as it arrived.
	Payload() []byte
	// Published returns the message as the broker delivered it, with all that MQTT 5 carries with
	// it, of a request also the response topic. Its expiry is what is left.
	Published() message.Message
	// Data returns the payload without the CloudEvent around it, if there is one.
	Data() []byte
}

// newReceived returns the event of an attempt at a delivery that was decoded.
func newReceived(d *client.Delivery) *received {
	e := &received{Delivery: d}
	e.Msg = broker.Message{ID: d.ID(), Headers: d.Headers(), Partition: -1, Offset: -1, Msg: e, Body: d.Body}
	return e
}
