package event

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// ClientConn sends the messages of generated clients. Package broker/mqtt has an
// implementation for every kratos-transport broker. It is safe for concurrent use.
type ClientConn interface {
	// Publish sends an event to topic, or to the topic of a call option. It returns nil once
	// the message is accepted: acknowledged by the broker, or stored in an outbox.
	Publish(ctx context.Context, m *MethodDesc, topic string, in proto.Message, opts ...CallOption) error
	// Request sends a request and decodes the reply into out.
	Request(ctx context.Context, m *MethodDesc, topic string, in, out proto.Message, opts ...CallOption) error
}

// CallOption changes how one message is sent. It can be passed to a method of a generated
// client and to broker/mqtt's Publisher, and, through WithCallOptions, to the Publish of a
// broker. If two options set the same thing, the last one applies.
type CallOption interface{ applyCall(c *Call) }

// Call describes how one message is sent, after its options are applied.
type Call struct {
	// Topic is the topic name.
	Topic string
	// QoS, Retain and Expiry are those of the method, unless an option changed them.
	QoS    byte
	Retain bool
	Expiry time.Duration
	// Unrouted is what an outbox does with a message for which the broker has no subscriber.
	// nil, without an option for it, means the setting of the configuration, or else of the
	// method.
	Unrouted *Unrouted
	// ID is the message id; "" lets the connection choose one.
	ID string
	// Headers are sent as metadata of the message.
	Headers []message.Header
	// OrderingKey is the ordering key of the message in an outbox; "" means that of the
	// method, or the topic if the method has none.
	OrderingKey string
	// ContentType is the media type of the payload; "" means that of the codec.
	ContentType string
	// Due is when an outbox sends the message, by the wall clock; a time that has passed, or zero,
	// means at once.
	Due time.Time
	// SkipOutbox sends the message to the broker without storing it in the outbox.
	SkipOutbox bool

	qosSet bool
}

// Apply applies options in order. A nil option is ignored.
func (c *Call) Apply(opts ...CallOption) {
	for _, o := range opts {
		if o != nil {
			o.applyCall(c)
		}
	}
}

// SetsQoS reports whether an option set the QoS.
func (c *Call) SetsQoS() bool { return c.qosSet }

type callOption func(*Call)

func (o callOption) applyCall(c *Call) { o(c) }

// QoS sets the quality of service: 0, 1 or 2. Any other value fails the call with BAD_REQUEST.
// A QoS 0 message is not acknowledged and not stored in an outbox. Default: that of the
// method, or 1.
func QoS(qos byte) CallOption {
	return callOption(func(c *Call) { c.QoS, c.qosSet = qos, true })
}

// Retain sets whether the broker keeps the message for later subscribers. Default: that of the
// method, or false.
func Retain(retain bool) CallOption { return callOption(func(c *Call) { c.Retain = retain }) }

// Expiry sets how long the broker may keep the message for a subscriber that is offline. It is
// rounded up to whole seconds; 0 means no limit, and a negative value fails the call. It needs
// MQTT 5: on 3.1.1 the message is sent without an expiry, which is counted, and logged once.
// Default: that of the method, or 0.
func Expiry(d time.Duration) CallOption { return callOption(func(c *Call) { c.Expiry = d }) }

// Header adds a header. MQTT 5 transports it as a user property, MQTT 3.1.1 only in the
// CloudEvents format. A key may occur more than once.
func Header(key, value string) CallOption {
	return callOption(func(c *Call) { c.Headers = append(c.Headers, message.Header{Key: key, Value: value}) })
}

// ID sets the message id and takes precedence over any other id of the message. Consumers use
// it to detect a message that is delivered twice. It is sent as the user property "id" on MQTT
// 5 and as the id of the CloudEvent, and stays the same however often the message is sent.
// Default: the field that the method declares as id_field, else a UUIDv7. A Publisher adds an
// id only if it has an outbox or is configured to do so.
func ID(id string) CallOption { return callOption(func(c *Call) { c.ID = id }) }

// OrderingKey sets the ordering key of the message in an outbox: messages with the same key
// are sent one after another. It has no effect without an outbox. Default: the field that the
// method declares as ordering_key, else the topic.
func OrderingKey(key string) CallOption {
	return callOption(func(c *Call) { c.OrderingKey = key })
}

// ContentType sets the media type of the payload, by which a subscriber chooses its codec. It
// is transported by MQTT 5 and by CloudEvents. Default: that of the codec (application/json,
// application/protobuf or application/<name of the codec>); none for bytes.
func ContentType(name string) CallOption {
	return callOption(func(c *Call) { c.ContentType = name })
}

// SkipOutbox sends the message to the broker without storing it in the outbox: the call returns
// when the broker acknowledges it, and fails while the broker is unreachable. The message may
// overtake messages that wait in the outbox. It has no effect without an outbox. Default: the
// outbox stores the message.
func SkipOutbox() CallOption { return callOption(func(c *Call) { c.SkipOutbox = true }) }

// After delays the message by d from the call. It needs an outbox, which keeps the message, also
// through a restart, and sends it when d has passed by the wall clock: without one, or with QoS 0,
// the call fails with UNSUPPORTED, unless the preset of the connection names a broker that delays
// messages itself. The call returns nil once the outbox has the message, and
// OUTBOX_FULL if that has no room for more delayed ones. A delayed message does not delay later
// messages of its ordering key: when it is due it joins the end. Until then it can be cancelled by
// its id, see [ID] and broker/mqtt's Broker.CancelDelayed. An expiry counts from when it is due. A
// request cannot be delayed. Zero or less means at once, the default.
func After(d time.Duration) CallOption {
	return callOption(func(c *Call) {
		if c.Due = (time.Time{}); d > 0 {
			c.Due = time.Now().Add(d).Round(0)
		}
	})
}

// At delays the message until t, by the wall clock; see [After]. A time that has passed, or zero,
// means at once, the default.
func At(t time.Time) CallOption { return callOption(func(c *Call) { c.Due = t.Round(0) }) }

// Topic publishes to the given topic name, in place of the topic of the method or of the call.
// The name is used unchanged and must be valid.
func Topic(name string) CallOption { return callOption(func(c *Call) { c.Topic = name }) }
