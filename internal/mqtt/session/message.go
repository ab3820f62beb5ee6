package session

import (
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// Message is an outgoing application message.
type Message struct {
	// Topic is the topic name: no wildcards, 1 to 65,535 bytes.
	Topic string
	// Payload is copied before Publish returns.
	Payload []byte
	// QoS is 0, 1 or 2.
	QoS byte
	// Retain asks the broker to keep the message for later subscribers.
	Retain bool
	// ID is sent as the user property "id" on MQTT 5, unless it is zero.
	ID ID
	// Expires is the time from which the message is useless; zero means never. Then it
	// is not sent for the first time, whatever it waited for: the publish fails with
	// [ErrExpired]. On MQTT 5 the broker keeps it until then at the longest.
	Expires time.Time
	// Stamp completes the message when it is sent; nil means no change.
	Stamp Stamp
	// Unrouted is called before the outcome if the broker accepted the message
	// although no subscription matches it (MQTT 5). It is never called for a
	// retained message, which the broker keeps. It reports whether the
	// publisher sends the message again; if so, [Config.Unrouted] is not
	// called. It is called on the read loop with a lock held and must be quick.
	// Nil means false.
	Unrouted func() (again bool)
	// Done is called once with the outcome, unless Publish returns an error, on a
	// goroutine other than the read loop and in the order of the
	// acknowledgements. Publish then does not wait for the outcome. Nil makes
	// Publish wait.
	Done func(error)
	// Kept is set if an outbox keeps the message and sends it again. The call of
	// Done then neither waits for those of other messages nor competes with
	// them for room. If the broker answers a PINGREQ but does not acknowledge
	// the message, the publish fails after some seconds with TIMEOUT. It has no
	// effect without Done.
	Kept bool
	// Properties are sent on MQTT 5 only; nil means none.
	Properties *Properties
}

// ErrExpired is the cause of the error of a publish whose message expired before it could
// be sent.
var ErrExpired = errors.New("the message expired before it could be sent")

// left returns the remaining expiry of a message that is sent now. It ends at Expires
// at the latest, and is never 0, because 0 means no limit.
func (m *Message) left(expiry time.Duration) time.Duration {
	if m.Expires.IsZero() {
		return expiry
	}
	return min(expiry, max(1, time.Until(m.Expires)))
}

// Properties are the MQTT 5 properties of an application message.
type Properties struct {
	// ContentType describes the encoding of the payload.
	ContentType string
	// ResponseTopic is the topic for a reply.
	ResponseTopic string
	// CorrelationData relates a reply to its request.
	CorrelationData []byte
	// Expiry is how long the broker may keep the message; 0 means no limit. It
	// is sent in whole seconds, rounded up.
	Expiry time.Duration
	// User are the user properties in order; a key may occur several times.
	User []UserProperty
}

// UserProperty is one user property of MQTT 5.
type UserProperty = message.Header

// Inbound is a received application message. Its fields must not be changed;
// they stay valid as long as they are referenced.
type Inbound struct {
	// Topic is the name that the message was published to. It keeps no other
	// memory alive.
	Topic string
	// Payload is the application's data. Payloads of up to 512 bytes share 4
	// KiB of memory with others that arrived at about the same time: keeping
	// one keeps those 4 KiB, so copy a payload that is kept for long.
	Payload []byte
	// PacketID is 0 at QoS 0.
	PacketID uint16
	// QoS is the QoS at which the broker delivered.
	QoS byte
	// Retain is set on a retained message.
	Retain bool
	// Duplicate is set if the broker may have delivered the message before.
	Duplicate bool

	ids     uint8  // number of subscription identifiers; one more than can be kept means any larger number
	firstID uint32 // the first of them
	conn    uint32 // number of the connection that delivered it last; guarded by the mutex of inbound

	// Properties are nil on MQTT 3.1.1.
	Properties *Properties
	// Size is the size that counts against all limits: that of the packet in
	// bytes plus the memory of its user properties. If less was kept, it is the
	// size of what was kept.
	Size int

	otherIDs *otherIDs      // subscription identifiers except the first; nil if there is at most one
	entry    delivery.Entry // in no ledger at QoS 0
	flaw     *flaw          // nil if the message can be handled
}

// Entry is what a handler of the message marks as done.
func (m *Inbound) Entry() *delivery.Entry { return &m.entry }

// Done marks the message as processed by one of its handlers. With a single handler the
// whole message is then processed. Its acknowledgement is sent in receive order
// [MQTT-4.6.0-2] on the connection that delivered it last. If that connection has
// ended, no acknowledgement is sent. Further calls do nothing. Done is safe for
// concurrent use.
func (m *Inbound) Done() { m.entry.Done() }

// Own moves the payload to separate memory, for a message that is kept for
// long. Call it before the message is shared.
func (m *Inbound) Own() {
	if n := len(m.Payload); n <= maxInChunk {
		m.Payload = append(make([]byte, 0, n), m.Payload...)
	}
}
