package client

import (
	"math"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Bounds of [Config], so that a mistake in a file cannot use all memory.
const (
	maxPayloadBound = session.DefaultMaxPacketSize
	maxWindow       = 16_384 // half of our packet identifiers
	maxConnections  = 128
	maxConcurrency  = 100_000
	maxQueue        = 10_000_000
	maxQueueBytes   = 1 << 40
	maxAliases      = math.MaxUint16
	// shortest is the shortest time that can be meant.
	shortest = time.Millisecond
)

// limit is a setting with its default and its bounds. A new one is a field of [Config]
// and a line here.
type limit interface {
	setDefault()
	check() error
}

// number is a limit from 1 to most; def 0 leaves the default to the session.
type number[T int | int64] struct {
	section, key string
	value        *T
	def          T
	most         int64
}

func (n number[T]) setDefault() { def(n.value, n.def) }

func (n number[T]) check() error {
	if v := int64(*n.value); v < 0 || v > n.most {
		return event.NewSettingError(n.section, n.key, "is %d, want 1 to %d, or nothing for the default", v, n.most)
	}
	return nil
}

// span is a duration of at least least; def 0 leaves the default to the session.
type span struct {
	section, key string
	value        *time.Duration
	def, least   time.Duration
}

func (s span) setDefault() { def(s.value, s.def) }

func (s span) check() error {
	if v := *s.value; v < 0 || v > 0 && v < s.least {
		return event.NewSettingError(s.section, s.key, "is %v, want at least %v", v, s.least)
	}
	return nil
}

// limits returns all limits of a client.
func (c *Config) limits() []limit {
	return []limit{
		number[int]{"Publisher", "max_payload", &c.MaxPayload, DefaultMaxPayload, maxPayloadBound},
		number[int]{"Publisher", "in_flight", &c.Window, 0, maxWindow},
		number[int]{"Publisher", "connections", &c.Connections, 1, maxConnections},
		number[int]{"Publisher", "topic_aliases", &c.TopicAliases, 0, maxAliases},
		number[int]{"Subscriber", "max_payload", &c.MaxInbound, DefaultMaxPayload, maxPayloadBound},
		number[int]{"Subscriber", "concurrency", &c.Concurrency, DefaultConcurrency, maxConcurrency},
		number[int]{"Subscriber", "queue", &c.Queue, DefaultQueue, maxQueue},
		number[int64]{"Subscriber", "queue_bytes", &c.QueueBytes, DefaultQueueBytes, maxQueueBytes},
		number[int]{"DeadLetters", "max_letters", &c.MaxLetters, DefaultMaxLetters, math.MaxInt64},
		number[int64]{"DeadLetters", "max_bytes", &c.MaxLetterBytes, DefaultMaxLetterBytes, math.MaxInt64},
		number[int]{"DeadLetters", "share", &c.LetterShare, 0, math.MaxInt32},
		span{"Connection", "keep_alive", &c.KeepAlive, 0, 0},
		span{"Connection", "connect_timeout", &c.ConnectTimeout, 0, shortest},
		span{"Connection", "write_timeout", &c.WriteTimeout, 0, shortest},
		span{"Connection", "max_reconnect_delay", &c.MaxReconnectDelay, 0, 0},
		span{"Connection", "session_expiry", &c.SessionExpiry, 0, 0},
		span{"Publisher", "timeout", &c.PublishTimeout, 0, shortest},
		span{"Subscriber", "handler_timeout", &c.HandlerTimeout, DefaultHandlerTimeout, shortest},
		span{"Subscriber", "retry_budget", &c.RetryBudget, DefaultRetryBudget, 0},
		span{"DeadLetters", "park_limit", &c.ParkLimit, DefaultParkLimit, 0},
		span{"DeadLetters", "store_timeout", &c.StoreTimeout, DefaultStoreTimeout, 0},
		span{"DeadLetters", "park_report", &c.ParkReport, DefaultParkReport, 0},
	}
}

const (
	// packetRoom is the room in a packet besides the largest payload, in bytes: for the
	// topic, the user properties within their limits, and the other properties.
	packetRoom = 64 << 10
	// leastReceive is the smallest Receive Maximum: below it brokers deliver one
	// message for each round trip and little more.
	leastReceive = 16
)

// maxPacket returns the size of the largest packet that is read whole; the payload of a
// larger one is skipped while it arrives.
func (c *Config) maxPacket() int { return c.MaxInbound + packetRoom }

// heldBytes bounds the messages that one connection delivered and that are not
// acknowledged: those in the queue, and as many bytes again that are done but wait for an
// earlier acknowledgement.
func (c *Config) heldBytes() int64 { return 2 * c.QueueBytes }

// receiveMaximum returns how many unacknowledged messages a broker may send: at most what
// the queue takes, and so many that messages of an eighth of the largest size are within
// the bound in bytes. Larger messages cause back-pressure; a window for the largest
// messages would slow small ones down on every link that is not local.
func (c *Config) receiveMaximum() int {
	n := max(leastReceive, c.heldBytes()/int64(c.maxPacket()/8))
	return int(min(n, session.DefaultReceiveMaximum, int64(c.queue())))
}

// queue returns how many messages may wait: at least one for each worker.
func (c *Config) queue() int { return max(c.Queue, c.Concurrency) }

// bound sets the limits of a connection on which messages arrive.
func (c *Config) bound(s *session.Config) {
	s.MaxPacketSize, s.MaxPayload = c.maxPacket(), c.MaxInbound
	s.MaxHeaders, s.MaxHeaderBytes = envelope.MaxHeaders, envelope.MaxHeaderBytes
	s.ReceiveMaximum = c.receiveMaximum()
	s.MaxHeld, s.MaxHeldBytes = c.queue()+s.ReceiveMaximum, c.heldBytes()
}
