package session

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// Message is an application message on its way out.
type Message struct {
	// Topic is the topic name: no wildcards, 1 to 65,535 bytes.
	Topic string
	// Payload is copied before Publish returns.
	Payload []byte
	// QoS is 0, 1 or 2.
	QoS byte
	// Retain asks the broker to keep the message for later subscribers.
	Retain bool
	// ID goes with the message on MQTT 5, as the user property "id"; the zero
	// value does not.
	ID ID
	// Stamp completes the message when it is sent; nil leaves it as it is.
	Stamp Stamp
	// Unrouted is called, before the outcome, when the broker took the message
	// although no subscription matches it: MQTT 5, and never for a retained one,
	// which is kept all the same. It reports whether the publisher sends it
	// again, which is then not told to [Config.Unrouted]. It is called on the
	// read loop with a lock held and must be quick; nil is false.
	Unrouted func() (again bool)
	// Properties are carried on MQTT 5 only; nil carries none.
	Properties *Properties
}

// Properties are the MQTT 5 properties of an application message.
type Properties struct {
	// ContentType names the encoding of the payload.
	ContentType string
	// ResponseTopic is where a reply is wanted.
	ResponseTopic string
	// CorrelationData ties a reply to its request.
	CorrelationData []byte
	// Expiry is how long the broker may keep the message; 0 is for ever. It
	// travels in whole seconds, rounded up.
	Expiry time.Duration
	// User are the user properties, in order; a key may occur again.
	User []UserProperty
}

// UserProperty is one user property of MQTT 5.
type UserProperty struct{ Key, Value string }

// Inbound is an application message that arrived. Its fields must not be
// changed; they stay valid for as long as they are held.
type Inbound struct {
	// Topic is the name that the message was published on. It keeps nothing else in
	// memory.
	Topic string
	// Payload is the application's data. One of up to 512 bytes shares 4 KiB of
	// memory with others that arrived about the same time: whoever holds it for long
	// keeps those 4 KiB, and takes a copy where that is too much.
	Payload []byte
	// PacketID is 0 at QoS 0.
	PacketID uint16
	// QoS is the level that the broker delivered at.
	QoS byte
	// Retain is set on a message that the broker had kept.
	Retain bool
	// Duplicate is set when the broker may have delivered it before.
	Duplicate bool
	// Properties are nil on MQTT 3.1.1.
	Properties *Properties
	// Size is that of the whole packet in bytes, and what its user properties take
	// besides, as it is counted against all bounds; of what was kept of it, when that
	// is less.
	Size int

	through through
	entry   delivery.Entry // in no ledger at QoS 0
	conn    *conn          // that delivered it last; guarded by the mutex of inbound
	flaw    *flaw          // nil of a message that can be handled
}

// Done says that the message needs no redelivery. Its acknowledgement leaves
// in receive order [MQTT-4.6.0-2] on the connection that delivered it last,
// or not at all when that connection is gone. Calling it again changes
// nothing. Safe from any goroutine.
func (m *Inbound) Done() { m.entry.Done() }
