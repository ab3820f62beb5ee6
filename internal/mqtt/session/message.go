package session

import (
	"time"

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
	// Stamp completes the message when it is sent; nil means no change.
	Stamp Stamp
	// Unrouted is called before the outcome if the broker accepted the message
	// although no subscription matches it (MQTT 5). It is never called for a
	// retained message, which the broker keeps. It reports whether the
	// publisher sends the message again; if so, [Config.Unrouted] is not
	// called. It is called on the read loop with a lock held and must be quick.
	// Nil means false.
	Unrouted func() (again bool)
	// Properties are sent on MQTT 5 only; nil means none.
	Properties *Properties
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
type UserProperty struct{ Key, Value string }

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
	// Properties are nil on MQTT 3.1.1.
	Properties *Properties
	// Size is the size that counts against all limits: that of the packet in
	// bytes plus the memory of its user properties. If less was kept, it is the
	// size of what was kept.
	Size int

	through through
	entry   delivery.Entry // in no ledger at QoS 0
	conn    *conn          // the connection that delivered it last; guarded by the mutex of inbound
	flaw    *flaw          // nil if the message can be handled
}

// Done marks the message as processed. Its acknowledgement is sent in receive
// order [MQTT-4.6.0-2] on the connection that delivered it last, or not at all
// if that connection has ended. Further calls do nothing. Done is safe for
// concurrent use.
func (m *Inbound) Done() { m.entry.Done() }

// Own moves the payload to separate memory, for a message that is kept for
// long. Call it before the message is shared.
func (m *Inbound) Own() {
	if n := len(m.Payload); n <= maxInChunk {
		m.Payload = append(make([]byte, 0, n), m.Payload...)
	}
}
