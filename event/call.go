package event

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// ClientConn sends the messages of generated clients. Package broker/mqtt has
// one over any kratos-transport broker. Safe for concurrent use.
type ClientConn interface {
	// Publish sends an event to topic, or to the topic of a call option. It
	// returns nil when the message is accepted: acknowledged by the broker, or
	// kept by an outbox.
	Publish(ctx context.Context, m *MethodDesc, topic string, in proto.Message, opts ...CallOption) error
	// Request sends a request and decodes the reply into out.
	Request(ctx context.Context, m *MethodDesc, topic string, in, out proto.Message, opts ...CallOption) error
}

// CallOption changes how one message is sent: a call of a generated client, a
// publish of broker/mqtt's Publisher, and, through its WithCallOptions, one of a
// broker. Of two options for the same thing the last counts.
type CallOption interface{ applyCall(c *Call) }

// Call is how one message is sent, once options are applied.
type Call struct {
	// Topic is the topic name.
	Topic string
	// QoS, Retain and Expiry are those of the method unless an option changed
	// them.
	QoS    byte
	Retain bool
	Expiry time.Duration
	// Unrouted is what an outbox does with a message that the broker has no
	// subscriber for, when an option says so; nil leaves it to the configuration,
	// and that to the method.
	Unrouted *Unrouted
	// ID is the id of the message; "" leaves it to the connection.
	ID string
	// Headers go beside the payload.
	Headers []message.Header
	// OrderingKey names the order that the message belongs to in an outbox; "" is
	// that of the method, and without one the topic.
	OrderingKey string
	// ContentType names the encoding of the payload; "" is that of the codec.
	ContentType string
	// Direct sends the message past the outbox.
	Direct bool

	qosSet bool
}

// Apply applies options; nil ones change nothing.
func (c *Call) Apply(opts ...CallOption) {
	for _, o := range opts {
		if o != nil {
			o.applyCall(c)
		}
	}
}

// SetsQoS reports whether an option set the QoS.
func (c *Call) SetsQoS() bool { return c.qosSet }

// NewCall applies options to what a method says.
func NewCall(m *MethodDesc, topic string, opts []CallOption) Call {
	c := Call{Topic: topic, QoS: m.QoS, Retain: m.Retain, Expiry: m.Expiry}
	c.Apply(opts...)
	return c
}

type callOption func(*Call)

func (o callOption) applyCall(c *Call) { o(c) }

// QoS sets the quality of service: 0, 1 or 2. Others are an error of the call,
// of reason BAD_REQUEST. With 0 nothing is acknowledged, and no outbox keeps the
// message. Default: the method's; 1 without one.
func QoS(qos byte) CallOption {
	return callOption(func(c *Call) { c.QoS, c.qosSet = qos, true })
}

// Retain asks the broker to keep the message for later subscribers, or not to.
// Default: the method's; false without one.
func Retain(retain bool) CallOption { return callOption(func(c *Call) { c.Retain = retain }) }

// Expiry is how long the broker may keep the message for a subscriber that is
// away, in whole seconds, rounded up; 0 is for ever, less is an error of the call.
// MQTT 5 only: on 3.1.1 the message is sent without, which is counted, and logged
// once. Default: the method's; 0 without one.
func Expiry(d time.Duration) CallOption { return callOption(func(c *Call) { c.Expiry = d }) }

// Header adds a header, which MQTT 5 carries as a user property, and 3.1.1 in
// the CloudEvents carrier only. A key may be given again.
func Header(key, value string) CallOption {
	return callOption(func(c *Call) { c.Headers = append(c.Headers, message.Header{Key: key, Value: value}) })
}

// ID sets the id of the message, over every other that it has, by which consumers
// recognise it when it is delivered again: the user property "id" on MQTT 5 and the
// id of the CloudEvent, the same however often the message is sent. Default: the
// field that the method names as id_field, else a UUIDv7; a Publisher adds one only
// when it is asked to, or has an outbox.
func ID(id string) CallOption { return callOption(func(c *Call) { c.ID = id }) }

// OrderingKey names the order that the message belongs to in an outbox: messages of
// one key are sent one after the other. Without an outbox it has no effect. Default:
// the field that the method names as ordering_key, else the topic.
func OrderingKey(key string) CallOption {
	return callOption(func(c *Call) { c.OrderingKey = key })
}

// ContentType names the encoding of the payload, by which a subscriber picks its
// codec. MQTT 5, and CloudEvents. Default: that of the codec, application/json,
// application/protobuf, or application/<name of the codec>; none for bytes.
func ContentType(name string) CallOption {
	return callOption(func(c *Call) { c.ContentType = name })
}

// Direct sends the message past the outbox: the call returns when the broker has
// it, and fails while the broker is down. It may overtake what waits in the outbox.
// Without an outbox it has no effect. Default: an outbox keeps it.
func Direct() CallOption { return callOption(func(c *Call) { c.Direct = true }) }

// Topic publishes to another topic than that of the template, or that was given, as
// it is. It must be a topic name.
func Topic(name string) CallOption { return callOption(func(c *Call) { c.Topic = name }) }
