package client

import (
	"sync/atomic"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
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

// Connection are the settings of a connection. Fields that the client sets for each session
// are left empty.
type Connection = session.Config

// Config sets the broker, the identity of the client, and how messages are handled. The
// zero value of a setting means its default.
type Config struct {
	// Connection is what all connections have in common. Addresses are required. ClientID is
	// a template; the subscriber uses what it results in. If it is empty or has {random}, each
	// run has another id and no session outlives the process. SessionExpiry is that of the
	// subscriber. Will belongs to the subscriber, or to the publisher when nothing is subscribed
	// at Start.
	Connection

	// PublisherSuffix makes the publisher's client id from the configured one.
	PublisherSuffix string
	// Username and Password are used if Credentials is nil.
	Username string
	Password string
	// PasswordFile contains the password, and replaces it when it changes.
	PasswordFile string
	// Protocol is the version of MQTT. Auto leaves it to the preset, and with
	// ForceAuto to the broker.
	Protocol  session.Protocol
	ForceAuto bool
	// Preset is what is known of the broker product; the zero value means nothing is
	// known.
	Preset Preset
	// CleanSession takes precedence over that of Connection. The default keeps the session
	// exactly when there is a client id.
	CleanSession *bool

	// FailFast makes Start return an error when no address accepts the connection.
	FailFast bool

	// MaxPayload is the largest payload to publish, in bytes.
	MaxPayload int
	// MaxInbound is the largest payload to decode, in bytes; a larger one is
	// dead-lettered at once.
	MaxInbound int
	// Connections is the number of connections to publish on.
	Connections int

	// Service names the service in dead letters and logs.
	Service string
	// DeadLetters keeps messages that no retry helps. Nil keeps each as a
	// retained message "dead-letter/<Service>/<part>/<id>" at the broker.
	DeadLetters deadletter.Store
	// SelfTest names topics to which a message is sent at Start, and on which it has to
	// arrive.
	SelfTest []string
	// Retained is set if retained messages were chosen as the store for dead letters, so
	// that their self-test runs at Start.
	Retained bool
	// MaxLetters and MaxLetterBytes bound retained dead letters, and LetterShare is how
	// much of that one origin may have, see [deadletter.Bounds].
	MaxLetters     int
	MaxLetterBytes int64
	LetterShare    int
	// BlockOverShare leaves a message unacknowledged if its dead letter exceeds the share
	// of its origin, instead of dropping it.
	BlockOverShare bool
	// ParkLimit is how long a parked message is tried before it becomes a dead letter.
	ParkLimit time.Duration
	// ParkReport is the interval at which held keys are reported, and at which messages
	// that other processes left parked are looked for.
	ParkReport time.Duration
	// StoreTimeout bounds one call of the store.
	StoreTimeout time.Duration
	// SigningKeys sign retained dead letters: the first signs, all verify; none does neither.
	SigningKeys deadletter.SigningKeys
	// DeadLetterTopic is where dead letters are also published; "" means nowhere.
	DeadLetterTopic string
	// Concurrency is how many handlers run at once.
	Concurrency int
	// Queue is how many messages may wait for a handler. When it is full, the connection is
	// not read until there is room; QoS 0 messages wait for that briefly, and then are
	// dropped and counted.
	Queue int
	// QueueBytes is the same in bytes, of whole packets.
	QueueBytes int64
	// HandlerTimeout bounds one attempt at one message.
	HandlerTimeout time.Duration
	// RetryBudget bounds all attempts at one message.
	RetryBudget time.Duration
	// Breaker is that of subscriptions without one of their own; nil means no breaker.
	Breaker *event.Breaker
	// UnmatchedGrace is how long a QoS 1 or 2 message without a matching subscription is
	// kept unacknowledged for a later subscription, counted from the connection or the last
	// registration; nil means 10 s.
	UnmatchedGrace *time.Duration
	// Unmatched is what happens to such a message after that; the zero value means
	// [event.UnmatchedDeadLetter].
	Unmatched event.Unmatched
	// PreviousFilters are filters of earlier versions that the session may still
	// have; they are unsubscribed.
	PreviousFilters []string
	// KeepFilters leaves filters without a handler subscribed.
	KeepFilters bool
	// Role describes the client in errors: "the server layer".
	Role string

	// Dedup remembers the ids of handled messages; nil remembers none.
	Dedup dedup.Window
	// Subscriber is the configuration of the service for single subscriptions; it may
	// be nil.
	Subscriber *v1.Subscriber
	policies   policies

	// Partitions are those of topics with the level {partition}.
	Partitions Partitions

	naming naming
	fenced bool // the session of a partition: another owner may take it at any time

	given   given                    // the configuration that the settings came from
	coded   coded                    // what the code set before
	logins  *logins                  // in use where there are no Credentials
	sending *atomic.Pointer[sending] // in use

	certificates *certificates // of TLS files; nil without
	password     *passwordFile // nil without

	// Hooks are called when something happens.
	Hooks hook.Calls
	// Logger receives the log; nil logs nothing.
	Logger logsafe.Logger
	// OnConnect and OnDisconnect are called for the subscriber's connection, or the
	// publisher's when nothing is subscribed. They must not block for long.
	OnConnect    func()
	OnDisconnect func(error)
}
