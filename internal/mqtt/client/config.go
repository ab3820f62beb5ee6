package client

import (
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
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

// Connection are the settings of a connection; what a session is made with besides is
// not set in it.
type Connection = session.Config

// Config sets the broker, the identity of the client, and how messages are handled. The
// zero value of a setting means its default.
type Config struct {
	// Connection is what all connections have in common. Addresses are required.
	// ClientID is used exactly by the subscriber; empty it is a random one, and no
	// session outlives the process. SessionExpiry is that of the subscriber. Will
	// belongs to the subscriber, or to the publisher when nothing is subscribed at
	// Start.
	Connection

	// PublisherSuffix makes the publisher's client id from the configured one.
	PublisherSuffix string
	// Username and Password count where there are no Credentials.
	Username string
	Password string
	// Protocol is the version of MQTT. Auto leaves it to the preset, and with
	// ForceAuto to the broker.
	Protocol  session.Protocol
	ForceAuto bool
	// Preset is what is known of the broker product; the zero value means nothing is
	// known.
	Preset Preset
	// CleanSession counts over that of Connection, and overrides the default, which
	// keeps the session exactly when there is a client id.
	CleanSession *bool

	// FailFast makes Start an error when no address of the list accepts.
	FailFast bool

	// MaxPayload is the largest payload to publish, in bytes.
	MaxPayload int
	// MaxInbound is the largest payload to decode, in bytes; a larger one is
	// dead-lettered at once.
	MaxInbound int
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
	// MaxLetters and MaxLetterBytes bound retained dead letters, and LetterShare is how
	// much of that one origin may have, see [deadletter.Bounds].
	MaxLetters     int
	MaxLetterBytes int64
	LetterShare    int
	// BlockOverShare leaves a message unacknowledged whose dead letter is over the share
	// of its origin, instead of dropping it.
	BlockOverShare bool
	// ParkLimit is how long a parked message is handled again before it is a
	// dead letter.
	ParkLimit time.Duration
	// ParkReport is the interval at which held keys are reported, and at which messages
	// that other processes left parked are looked for.
	ParkReport time.Duration
	// StoreTimeout bounds one call of the store.
	StoreTimeout time.Duration
	// LetterKeys sign retained dead letters: the first signs, all verify; none does neither.
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
	// Unmatched is what happens to it after that; the zero value is
	// [event.UnmatchedDeadLetter].
	Unmatched event.Unmatched
	// PreviousFilters are filters of earlier versions that the session may still
	// have; they are unsubscribed.
	PreviousFilters []string
	// KeepFilters leaves filters without a handler subscribed.
	KeepFilters bool
	// Role says in errors what the client is: "the server layer".
	Role string

	// NewDelivery allocates a message and its first delivery, both of zero value except
	// [Delivery.Front], which a front uses to allocate its own data together with them.
	// Nil allocates only the delivery.
	NewDelivery func() *Delivery

	// Dedup remembers the ids of handled messages; nil remembers none.
	Dedup dedup.Window
	// Subscriber is the configuration of the service for single subscriptions; it may
	// be nil.
	Subscriber *v1.Subscriber
	policies   policies

	// Hooks are called when something happens.
	Hooks hook.Calls
	// Logger is where the log goes; nil logs nothing.
	Logger Logger
	// OnConnect and OnDisconnect follow the subscriber's connection, or the
	// publisher's when nothing is subscribed. They run on a goroutine that
	// they may not block for long.
	OnConnect    func()
	OnDisconnect func(error)
}
