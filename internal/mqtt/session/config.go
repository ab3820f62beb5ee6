package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

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
	DefaultQoS2Window        = 16 // more makes Mosquitto drop QoS 1 beside it on 3.1.1
	DefaultMaxPacketSize     = 1 << 20
	DefaultSessionExpiry     = 24 * time.Hour
	DefaultReceiveMaximum    = 1024
	DefaultSubscribeFilters  = 8
)

// takeoverLosses and takeoverWindow decide when short connections mean that
// somebody else uses our client id.
const (
	takeoverLosses = 3
	takeoverWindow = 5 * time.Second
)

// Config is everything that one client identity needs. The zero value of a
// setting means its default.
type Config struct {
	// Addresses are tried in order, and again from the first. Required.
	Addresses []link.Address
	// ClientID is sent as it is; 1 to 65,535 bytes. Required.
	ClientID string
	// Credentials are asked for at each CONNECT, within the connect timeout; nil
	// sends none.
	Credentials func(ctx context.Context) (username, password string, err error)
	// TLS is asked for at each dial of a TLS address; nil uses the system's
	// authorities.
	TLS func() (*tls.Config, error)
	// Header is sent with the upgrade request of a WebSocket address.
	Header http.Header
	// Proxy is what connections go through; the zero value is none.
	Proxy link.Proxy

	// KeepAlive travels in whole seconds, rounded up.
	KeepAlive         time.Duration
	ConnectTimeout    time.Duration
	WriteTimeout      time.Duration
	PingTimeout       time.Duration
	MinReconnectDelay time.Duration
	MaxReconnectDelay time.Duration
	// PublishTimeout bounds a publish whose context has no deadline.
	PublishTimeout time.Duration

	// Rash convicts a message after the first connection that ends while it alone is
	// not acknowledged, on a quiet link, instead of after several. It is for messages
	// that are worth less than the time of those behind them, such as replies.
	Rash bool

	// NoReconnect ends the session object with its first connection.
	NoReconnect bool
	// CleanSession asks the broker to keep nothing between connections.
	CleanSession bool
	// FreshStart makes the broker forget, before the first connection, what it
	// kept for the client id: for who only publishes and begins with nothing in
	// flight. What another process left there would end as a loss: the broker
	// takes a QoS 2 message for one that it has already when its packet
	// identifier waits for a PUBREL [MQTT-4.3.3-2], and counts such exchanges
	// against its limits. The session that is used begins without Clean Start all
	// the same: Mosquitto 2.0 does not save those that began with it.
	FreshStart bool
	// RelaxedAcks lets acknowledgements leave as soon as a message is done
	// instead of in receive order, for brokers that accept any order on MQTT
	// 3.1.1; MQTT 5 keeps the order [MQTT-4.6.0-2].
	RelaxedAcks bool

	// Negotiation finds the protocol version and the address to begin with; shared
	// by the sessions of one client, which have the same addresses. Nil means MQTT 5
	// with a fallback, for this session alone.
	Negotiation *Negotiation
	// SessionExpiry is how long the broker keeps a session that is not clean,
	// MQTT 5.
	SessionExpiry time.Duration
	// ReceiveMaximum is the most unacknowledged QoS 1 and 2 messages that the
	// broker may have outstanding to us, MQTT 5.
	ReceiveMaximum int

	// SubscribeFilters is the most filters in one SUBSCRIBE on MQTT 3.1.1: some
	// brokers close the connection above 8, and none can announce it. On MQTT 5
	// each filter has a SUBSCRIBE of its own.
	SubscribeFilters int

	// SharePrefix is what the broker has in the place of $share; "" is that.
	SharePrefix string

	// TopicAliases is how many topics we shorten on a connection, MQTT 5, as far
	// as the broker accepts them; 0 is none.
	TopicAliases int

	// Window is the most QoS 1 and 2 messages in flight.
	Window int
	// QoS2Window is the most QoS 2 messages in flight on MQTT 3.1.1.
	QoS2Window int
	// MaxPacketSize is the largest packet taken from the broker, in bytes. Of a
	// larger PUBLISH the payload is skipped, see [Inbound.Oversize]; any other
	// ends the connection.
	MaxPacketSize int
	// MaxPayload is the largest payload, in bytes, and MaxHeaders and MaxHeaderBytes
	// are the most user properties, and bytes of their names and values, of a message
	// that is taken whole. What is over them is skipped, too, when it arrives. 0 is no
	// limit, but for MaxHeaders, where it is 1,024.
	MaxPayload     int
	MaxHeaders     int
	MaxHeaderBytes int
	// MaxHeld and MaxHeldBytes bound what one connection delivered and has no
	// acknowledgement for; beyond them it is not read. 0 is no bound.
	MaxHeld      int
	MaxHeldBytes int64

	// Will is published by the broker when the connection ends without a
	// DISCONNECT; nil for none. Of its properties only the user properties
	// travel: the client library leaves the others out.
	Will *Message

	// Unrouted is told the topic of each message that the broker took although
	// no subscription matches it, MQTT 5. It is called on the read loop with a
	// lock held and must be quick; topic is valid during the call. Nil for none.
	Unrouted func(topic []byte)
	// Sink takes the messages that arrive. Required to subscribe; without one
	// they stay unacknowledged.
	Sink Sink
	// Notify is called with events, with no lock held, also by the read loop;
	// it must not block. Nil for none.
	Notify func(Event)
}

// Sink takes the messages of a session on its read loop and must not block.
type Sink interface {
	// New returns the memory for the next message, of zero value but for the topic:
	// the sink may have allocated it together with what it needs itself, and may know
	// the topic already, of which it is given the bytes until return. At QoS 0 nil
	// drops the message before it costs anything.
	New(topic []byte, qos byte, size int) *Inbound
	// Deliver takes one message, which stays unacknowledged until its Done.
	Deliver(m *Inbound)
	// Batch ends a run of Deliver calls.
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

// ackLimit is how many bytes of acknowledgements may wait for the broker to read:
// those of all that it may have sent, and many more.
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

// validate reports every problem at once.
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
