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

// CallOption changes one call of a generated client.
type CallOption interface{ applyCall(c *Call) }

// Call is what a [ClientConn] is asked to do, once its options are applied.
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
}

// NewCall applies options to what a method says.
func NewCall(m *MethodDesc, topic string, opts []CallOption) Call {
	c := Call{Topic: topic, QoS: m.QoS, Retain: m.Retain, Expiry: m.Expiry}
	for _, o := range opts {
		if o != nil {
			o.applyCall(&c)
		}
	}
	return c
}

type callOption func(*Call)

func (o callOption) applyCall(c *Call) { o(c) }

// QoS sets the quality of service of one call: 0, 1 or 2. Others are an error
// of the call. Default: the method's.
func QoS(qos byte) CallOption { return callOption(func(c *Call) { c.QoS = qos }) }

// Retain asks the broker to keep the message for later subscribers, or not to.
// Default: the method's.
func Retain(retain bool) CallOption { return callOption(func(c *Call) { c.Retain = retain }) }

// Expiry is how long the broker may keep the message for a subscriber that is
// away; 0 is for ever. MQTT 5 only. Default: the method's.
func Expiry(d time.Duration) CallOption { return callOption(func(c *Call) { c.Expiry = d }) }

// Header adds a header, which MQTT 5 carries as a user property, and 3.1.1 in
// the CloudEvents carrier only. A key may be given again.
func Header(key, value string) CallOption {
	return callOption(func(c *Call) { c.Headers = append(c.Headers, message.Header{Key: key, Value: value}) })
}

// ID sets the id of the message, by which consumers recognise it when it is
// delivered again. Default: the field that the method names as id_field, else a
// UUIDv7.
func ID(id string) CallOption { return callOption(func(c *Call) { c.ID = id }) }

// Topic publishes to another topic than that of the template, as it is. It must
// be a topic name.
func Topic(name string) CallOption { return callOption(func(c *Call) { c.Topic = name }) }
