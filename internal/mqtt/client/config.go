package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Defaults of [Config].
const (
	DefaultConcurrency    = 16
	DefaultQueue          = 1024
	DefaultQueueBytes     = delivery.DefaultMaxBytes
	DefaultHandlerTimeout = 30 * time.Second
	DefaultRetryBudget    = 5 * time.Second
	DefaultMaxPayload     = envelope.DefaultMaxPayload
	DefaultStopTimeout    = 10 * time.Second
	DefaultParkLimit      = 24 * time.Hour
	DefaultParkReport     = time.Minute
	DefaultMaxLetters     = deadletter.DefaultMaxLetters
	DefaultMaxLetterBytes = 256 << 20
	DefaultStoreTimeout   = 30 * time.Second
	DefaultPublisher      = "-pub"
)

// Config says which broker to use, who we are, and how messages are handled.
// The zero value of a setting means its default.
type Config struct {
	// Addresses are brokers, tried in order. Required.
	Addresses []Address
	// ClientID is used exactly by the subscriber. Empty: a random one, and no
	// session outlives the process.
	ClientID string
	// PublisherSuffix makes the publisher's client id from the configured one.
	PublisherSuffix string
	Username        string
	Password        string
	// Credentials are asked for before each CONNECT and count over Username and
	// Password; nil is those.
	Credentials func(ctx context.Context) (username, password string, err error)
	// TLS is asked at each dial of a TLS address.
	TLS func() (*tls.Config, error)
	// Header is sent with the upgrade request of ws and wss addresses.
	Header http.Header
	// Proxy is what connections go through; the zero value is none.
	Proxy Proxy
	// Protocol is the version of MQTT. Auto leaves it to the preset, and with
	// ForceAuto to the broker.
	Protocol  session.Protocol
	ForceAuto bool
	// Preset is what is known of the broker; the zero value is nothing.
	Preset Preset
	// SessionExpiry is how long the broker keeps the subscriber's session when
	// it is not clean, MQTT 5.
	SessionExpiry time.Duration
	// Will belongs to the subscriber, or to the publisher when nothing is
	// subscribed at Start; nil is none.
	Will *Message
	// CleanSession overrides the default, which keeps the session exactly when
	// there is a client id.
	CleanSession *bool

	KeepAlive         time.Duration
	ConnectTimeout    time.Duration
	WriteTimeout      time.Duration
	PingTimeout       time.Duration
	MinReconnectDelay time.Duration
	MaxReconnectDelay time.Duration
	NoReconnect       bool
	// FailFast makes Start an error when no address of the list accepts.
	FailFast bool

	// PublishTimeout bounds a publish whose context has no deadline.
	PublishTimeout time.Duration
	// MaxPayload is the largest payload to publish, in bytes.
	MaxPayload int
	// MaxInbound is the largest payload to decode, in bytes; a larger one is
	// dead-lettered at once.
	MaxInbound int
	// TopicAliases is how many topics a publishing connection shortens, MQTT 5.
	TopicAliases int
	// Window is the most messages in flight per connection.
	Window int
	// Connections is how many to publish on.
	Connections int

	// Service names the service in dead letters and logs.
	Service string
	// DeadLetters keeps messages that no retry helps. Nil keeps each as a
	// retained message "dead-letter/<Service>/<part>/<id>" at the broker.
	DeadLetters deadletter.Store
	// SelfTest names topics that a message is sent to at Start, which has to come
	// back.
	SelfTest []string
	// Retained says that retained messages are chosen and not the last resort:
	// their self-test runs at Start.
	Retained bool
	// MaxLetters and MaxLetterBytes bound retained letters, and LetterShare is how
	// much of that one origin may have, see [deadletter.Bounds].
	MaxLetters     int
	MaxLetterBytes int64
	LetterShare    int
	// BlockOverShare leaves a message unacknowledged whose letter is over the share
	// of its origin, instead of dropping it.
	BlockOverShare bool
	// ParkLimit is how long a parked message is handled again before it is a
	// dead letter.
	ParkLimit time.Duration
	// ParkReport is how often is told which keys are held, and what other
	// processes left parked is looked for.
	ParkReport time.Duration
	// StoreTimeout bounds one call of the store.
	StoreTimeout time.Duration
	// LetterKeys sign retained letters: the first signs, all verify; none does neither.
	LetterKeys deadletter.Keys
	// DeadLetterTopic is where dead letters are published, too; "" is nowhere.
	DeadLetterTopic string
	// Concurrency is how many handlers run at once.
	Concurrency int
	// Queue is how many messages may wait for a handler. Beyond it the connection
	// is not read until there is room; QoS 0 waits for that briefly, and then is
	// dropped and counted.
	Queue int
	// QueueBytes is the same in bytes, of whole packets.
	QueueBytes int64
	// HandlerTimeout bounds one attempt at one message.
	HandlerTimeout time.Duration
	// RetryBudget bounds all attempts at one message.
	RetryBudget time.Duration
	// UnmatchedGrace is how long a QoS 1 or 2 message that no subscription matches
	// is kept unacknowledged for one that comes later, since the connection or the
	// last registration; nil is 10 s.
	UnmatchedGrace *time.Duration
	// Unmatched is what becomes of it after that; the zero value is
	// [event.UnmatchedDeadLetter].
	Unmatched event.Unmatched
	// SharePrefix is what the broker has in the place of $share in shared filters; ""
	// is that.
	SharePrefix string
	// PreviousFilters are filters of earlier versions that the session may still
	// have; they are unsubscribed.
	PreviousFilters []string
	// KeepFilters leaves filters that nobody wants any more subscribed.
	KeepFilters bool
	// Role says in errors what the client is: "the server layer".
	Role string
	// RelaxedAcks acknowledges each message of MQTT 3.1.1 when it is done
	// instead of in receive order.
	RelaxedAcks bool

	// Arrived sees each message with user properties that a subscription of its
	// own matched, in the order of arrival, on the read loop: it must be quick.
	// Nil sees none.
	Arrived func(m *Inbound)

	// Replied takes what arrives on an [Inbox], on its read loop: it must be quick.
	// Nil takes nothing.
	Replied func(d *Delivery)

	// Flush is called by Stop, within its context, when the last handler ended
	// and publishes still leave; it returns how many messages stay on this side, and
	// how many of them were published and not acknowledged.
	Flush func(ctx context.Context) (left, flying int)
	// Publishing is told of each publishing connection that comes up, before
	// anything is sent on it, and of each that was lost or failed to. It is called
	// on read loops, too, and must be quick. Some is whether one is there then.
	Publishing func(up, some bool)
	// Granted is told, one at a time and in order, whether every wanted filter is
	// granted in the present session of each connection that subscribes, and
	// whether one of them began anew: the broker had kept none. It must be quick.
	Granted func(fresh, all bool)
	// Hooks are told what happens.
	Hooks Hooks
	// Logger takes everything worth knowing; nil takes nothing.
	Logger Logger
	// OnConnect and OnDisconnect follow the subscriber's connection, or the
	// publisher's when nothing is subscribed. They run on a goroutine that
	// they may not block for long.
	OnConnect    func()
	OnDisconnect func(error)
}

// resolve fills in the defaults and reports every problem at once.
func (c *Config) resolve() error {
	c.setDefaults()
	var errs []error
	bad := func(section, key, format string, args ...any) {
		errs = append(errs, event.Setting(section, key, format, args...))
	}
	if len(c.Addresses) == 0 {
		bad("Connection", "addresses", "no broker address, want the URL of a broker, as in mqtt://host:1883")
	}
	if c.DeadLetterTopic != "" {
		if err := topic.ValidateName(c.DeadLetterTopic); err != nil {
			bad("Subscriber", "dead_letter_topic", "%w", err)
		}
	} else if err := topic.ValidateName(retained.Prefix(c.Service)); err != nil {
		errs = append(errs, fmt.Errorf("name of the service, which is in the topics of dead letters: %w", err))
	}
	if c.Retained && c.DeadLetters != nil {
		bad("DeadLetters", "driver", "both a store for dead letters and retained ones are chosen")
	}
	for _, name := range c.SelfTest {
		if err := topic.ValidateName(name); err != nil {
			errs = append(errs, fmt.Errorf("self-test: %w", err))
		}
	}
	if w := c.Will; w != nil {
		if err := topic.ValidateName(w.Topic); err != nil {
			bad("Connection", "will.topic", "%w", err)
		}
		if w.QoS > 2 {
			bad("Connection", "will.qos", "is %d, want 0, 1 or 2", w.QoS)
		}
		if n := len(w.Payload); n > math.MaxUint16 {
			bad("Connection", "will.payload", "has %d bytes, want at most %d", n, math.MaxUint16)
		}
	}
	if err := c.LetterKeys.Check(); err != nil {
		bad("DeadLetters", "mac_keys", "%w", err)
	}
	errs = append(errs, c.checkBounds())
	if err := errors.Join(errs...); err != nil {
		return &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: err}
	}
	return nil
}

func (c *Config) setDefaults() {
	def(&c.Concurrency, DefaultConcurrency)
	def(&c.Queue, DefaultQueue)
	def(&c.QueueBytes, DefaultQueueBytes)
	def(&c.HandlerTimeout, DefaultHandlerTimeout)
	def(&c.RetryBudget, DefaultRetryBudget)
	def(&c.MaxPayload, DefaultMaxPayload)
	def(&c.MaxInbound, DefaultMaxPayload)
	def(&c.Service, "service")
	def(&c.PublisherSuffix, DefaultPublisher)
	def(&c.Connections, 1)
	def(&c.ParkLimit, DefaultParkLimit)
	def(&c.ParkReport, DefaultParkReport)
	def(&c.MaxLetters, DefaultMaxLetters)
	def(&c.MaxLetterBytes, DefaultMaxLetterBytes)
	def(&c.StoreTimeout, DefaultStoreTimeout)
	if c.Logger == nil {
		c.Logger = Silence
	}
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// persistent reports whether the broker shall keep our sessions.
func (c *Config) persistent() bool {
	if c.CleanSession != nil {
		return !*c.CleanSession
	}
	return c.ClientID != ""
}

// session returns the settings of one of the two connections.
func (c *Config) session(clientID string) session.Config {
	s := session.Config{
		Addresses: c.Addresses, ClientID: clientID, TLS: c.TLS, Header: c.Header, Proxy: c.Proxy,
		KeepAlive: c.KeepAlive, ConnectTimeout: c.ConnectTimeout, WriteTimeout: c.WriteTimeout,
		PingTimeout: c.PingTimeout, MinReconnectDelay: c.MinReconnectDelay, MaxReconnectDelay: c.MaxReconnectDelay,
		NoReconnect: c.NoReconnect, CleanSession: !c.persistent(),
		RelaxedAcks: c.RelaxedAcks, SubscribeFilters: c.Preset.SubscribeFilters, SharePrefix: c.SharePrefix, PublishTimeout: c.PublishTimeout, Window: c.Window, TopicAliases: c.TopicAliases,
	}
	s.Credentials = c.Credentials
	if s.Credentials == nil && (c.Username != "" || c.Password != "") {
		s.Credentials = func(context.Context) (string, string, error) { return c.Username, c.Password, nil }
	}
	return s
}

// clientID returns the configured id, or one that no other process uses.
func (c *Config) clientID() string {
	if c.ClientID != "" {
		return c.ClientID
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return "kratos-" + hex.EncodeToString(b[:])
}
