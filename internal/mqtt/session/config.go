package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Defaults of [Config].
const (
	DefaultKeepAlive         = 30 * time.Second
	DefaultConnectTimeout    = 10 * time.Second
	DefaultWriteTimeout      = 10 * time.Second
	DefaultMinReconnectDelay = 200 * time.Millisecond
	DefaultMaxReconnectDelay = 30 * time.Second
	DefaultPublishTimeout    = 10 * time.Second
	DefaultWindow            = 256
	DefaultQoS2Window        = 16 // a higher value makes Mosquitto drop concurrent QoS 1 messages on 3.1.1
	DefaultMaxPacketSize     = 1 << 20
	DefaultSessionExpiry     = 24 * time.Hour
	DefaultReceiveMaximum    = 1024
	DefaultSubscribeFilters  = 8
)

// takeoverLosses and takeoverWindow determine when short connections mean that
// another client uses our client id.
const (
	takeoverLosses = 3
	takeoverWindow = 5 * time.Second
)

// Config configures one client identity. A setting with its zero value has its
// default.
type Config struct {
	// Addresses of the broker, tried in order and then again from the first.
	// Required.
	Addresses []link.Address
	// ClientID is sent unchanged; 1 to 65,535 bytes. Required.
	ClientID string
	// Credentials is called for each CONNECT, within the connect timeout. Nil
	// means no credentials.
	Credentials func(ctx context.Context) (username, password string, err error)
	// Refused, unless nil, is called when every address refused the login, with the number of
	// refusals since the last connection. If it returns true the next attempt follows soon,
	// otherwise after a long pause. It must not wait.
	Refused func(err error, n int) (again bool)
	// Accepted, unless nil, is called when the broker has accepted a connection, before it is
	// used. It must not wait.
	Accepted func()
	// Authenticator performs enhanced authentication, MQTT 5 only. Nil means
	// none.
	Authenticator event.Authenticator
	// TLS is called for each dial of a TLS address. Nil means the system's
	// certificate authorities.
	TLS func() (*tls.Config, error)
	// Header is sent with the upgrade request of a WebSocket address.
	Header http.Header
	// Proxy is the proxy for connections; the zero value means no proxy.
	Proxy link.Proxy

	// KeepAlive is sent in whole seconds, rounded up.
	KeepAlive         time.Duration
	ConnectTimeout    time.Duration
	WriteTimeout      time.Duration
	PingTimeout       time.Duration
	MinReconnectDelay time.Duration
	MaxReconnectDelay time.Duration
	// PublishTimeout limits a publish whose context has no deadline.
	PublishTimeout time.Duration
	// PublishLimit, unless nil, takes the place of PublishTimeout and may change. It is
	// called for each publish, and must not wait.
	PublishLimit func() time.Duration

	// Rash convicts a message after the first connection that ends while it is
	// the only unacknowledged one, on a quiet link, instead of after several.
	// It is for messages that are worth less than the delay of those after
	// them, such as replies.
	Rash bool

	// NoReconnect ends the session when its first connection ends.
	NoReconnect bool
	// CleanSession asks the broker to discard the session when the connection
	// ends.
	CleanSession bool
	// FreshStart makes the broker discard the session of the client id before
	// the first connection. It is for clients that only publish and start with
	// nothing in flight. Exchanges that another process left behind could lose
	// messages: if a packet identifier waits for a PUBREL, the broker takes a
	// new QoS 2 message with it for a duplicate [MQTT-4.3.3-2], and such
	// exchanges count against its limits. The session itself nevertheless
	// starts without Clean Start, because Mosquitto 2.0 does not save sessions
	// that started with it.
	FreshStart bool
	// RelaxedAcks sends an acknowledgement as soon as its message is done
	// instead of in receive order, for brokers that accept any order on MQTT
	// 3.1.1. MQTT 5 keeps the order [MQTT-4.6.0-2].
	RelaxedAcks bool

	// Negotiation determines the protocol version and the address to start
	// with. Sessions of one client, which have the same addresses, share it.
	// Nil means MQTT 5 with a fallback, for this session alone.
	Negotiation *Negotiation
	// SessionExpiry is how long the broker keeps a session that is not clean
	// (MQTT 5).
	SessionExpiry time.Duration
	// ReceiveMaximum is how many unacknowledged QoS 1 and 2 messages the broker
	// may send (MQTT 5).
	ReceiveMaximum int

	// SubscribeFilters is the maximum number of filters in one SUBSCRIBE on
	// MQTT 3.1.1: some brokers close the connection above 8, and none can
	// announce the limit. On MQTT 5 each filter has its own SUBSCRIBE.
	SubscribeFilters int

	// SharePrefix is the broker's prefix of shared filters; "" means $share.
	SharePrefix string

	// TopicAliases is the number of topic aliases used on a connection, limited
	// by the broker (MQTT 5); 0 means none.
	TopicAliases int

	// Window is the maximum number of QoS 1 and 2 messages in flight.
	Window int
	// QoS2Window is the maximum number of QoS 2 messages in flight on MQTT
	// 3.1.1.
	QoS2Window int
	// MaxPacketSize is the size limit of a packet from the broker in bytes. The
	// payload of a larger PUBLISH is skipped, see [Inbound.Oversize]; any other
	// larger packet ends the connection.
	MaxPacketSize int
	// MaxPayload is the maximum size of a payload in bytes, MaxHeaders the
	// maximum number of user properties and MaxHeaderBytes the maximum size of
	// their names and values in a received message. Anything beyond these
	// limits is skipped. 0 means no limit, except for MaxHeaders, where it
	// means 1,024.
	MaxPayload     int
	MaxHeaders     int
	MaxHeaderBytes int
	// MaxHeld and MaxHeldBytes limit the messages of one connection that are
	// delivered and not acknowledged; at a limit the connection is not read. 0
	// means no limit.
	MaxHeld      int
	MaxHeldBytes int64

	// Will is the message that the broker publishes when the connection ends
	// without a DISCONNECT; nil means none. Of its properties only the user
	// properties are sent, because the client library does not send the others.
	Will *Message

	// Unrouted is called with the topic of each message that the broker
	// accepted although no subscription matches it (MQTT 5). It is called on
	// the read loop with a lock held and must be quick; topic is valid during
	// the call. Nil means no call.
	Unrouted func(topic []byte)
	// IgnoreUnrouted is set if the broker reports that no subscription matches although
	// another of its nodes has one: Unrouted and [Message.Unrouted] are not called.
	IgnoreUnrouted bool
	// Sink receives the messages that arrive. It is required to subscribe;
	// without it messages stay unacknowledged.
	Sink Sink
	// Notify is called with events, with no lock held, possibly on the read
	// loop. It must not block. Nil means no call.
	Notify func(Event)
}

// Sink receives the messages of a session on its read loop and must not block.
type Sink interface {
	// New returns the memory for the next message. All fields except Topic must
	// be zero: the sink may allocate the message together with its own data,
	// and may already have the topic as a string. topic is valid until New
	// returns. At QoS 0 a nil result drops the message before it costs
	// anything.
	New(topic []byte, qos byte, size int) *Inbound
	// Deliver receives one message, which stays unacknowledged until its Done
	// is called.
	Deliver(m *Inbound)
	// Batch ends a series of Deliver calls.
	Batch()
}

func (c *Config) setDefaults() {
	def(&c.KeepAlive, DefaultKeepAlive)
	if c.KeepAlive > 0 {
		c.KeepAlive = (c.KeepAlive + time.Second - 1).Truncate(time.Second)
	}
	def(&c.ConnectTimeout, DefaultConnectTimeout)
	def(&c.WriteTimeout, DefaultWriteTimeout)
	c.WriteTimeout = min(c.WriteTimeout, c.KeepAlive)
	def(&c.PingTimeout, DefaultConnectTimeout)
	def(&c.MinReconnectDelay, DefaultMinReconnectDelay)
	def(&c.MaxReconnectDelay, DefaultMaxReconnectDelay)
	def(&c.PublishTimeout, DefaultPublishTimeout)
	if c.PublishLimit == nil {
		timeout := c.PublishTimeout
		c.PublishLimit = func() time.Duration { return timeout }
	}
	def(&c.Window, DefaultWindow)
	def(&c.QoS2Window, DefaultQoS2Window)
	def(&c.MaxPacketSize, DefaultMaxPacketSize)
	def(&c.SessionExpiry, DefaultSessionExpiry)
	def(&c.ReceiveMaximum, DefaultReceiveMaximum)
	def(&c.SubscribeFilters, DefaultSubscribeFilters)
	if c.Negotiation == nil {
		c.Negotiation = NewNegotiation(Auto)
	}
	if c.Notify == nil {
		c.Notify = func(Event) {}
	}
}

// ackLimit returns how many bytes of acknowledgements may wait for the broker
// to read: enough for all messages that it may have sent, and many more.
func (c *Config) ackLimit() int {
	const least, each = 1 << 20, 8
	return least + each*(c.MaxHeld+c.Window)
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// validate reports all problems at once.
func (c *Config) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Addresses) == 0 {
		bad("no broker address")
	}
	if n := len(c.ClientID); n == 0 || n > math.MaxUint16 {
		bad("client id of %d bytes, want 1 to 65535", n)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"keep-alive", c.KeepAlive},
		{"connect timeout", c.ConnectTimeout},
		{"write timeout", c.WriteTimeout},
		{"ping timeout", c.PingTimeout},
		{"reconnect delay", c.MinReconnectDelay},
		{"maximum reconnect delay", c.MaxReconnectDelay},
		{"publish timeout", c.PublishTimeout},
		{"session expiry", c.SessionExpiry},
	} {
		if d.value < 0 {
			bad("%s of %v, want more than 0", d.name, d.value)
		}
	}
	if c.KeepAlive > math.MaxUint16*time.Second {
		bad("keep-alive of %v, want at most 65535 s", c.KeepAlive)
	}
	if c.Window < 0 || c.Window > idCount/2 {
		bad("in-flight window of %d, want 1 to %d", c.Window, idCount/2)
	}
	if w := c.Will; w != nil {
		if err := topic.ValidateName(w.Topic); err != nil {
			bad("will: %w", err)
		}
		if w.QoS > 2 {
			bad("will: QoS %d", w.QoS)
		}
	}
	if c.QoS2Window < 0 {
		bad("QoS 2 window of %d, want at least 1", c.QoS2Window)
	}
	if c.ReceiveMaximum < 0 || c.ReceiveMaximum > math.MaxUint16 {
		bad("receive maximum of %d, want 1 to 65535", c.ReceiveMaximum)
	}
	if c.SubscribeFilters < 0 {
		bad("%d filters in a SUBSCRIBE, want at least 1", c.SubscribeFilters)
	}
	if c.TopicAliases < 0 || c.TopicAliases > math.MaxUint16 {
		bad("%d topic aliases, want 0 to 65535", c.TopicAliases)
	}
	if c.MaxPacketSize < 0 {
		bad("maximum packet size of %d, want at least 1", c.MaxPacketSize)
	}
	return errors.Join(errs...)
}
