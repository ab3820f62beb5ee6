package broker

import "sync/atomic"

// Counts are totals since the broker was created.
type Counts struct {
	// Connections counts accepted connections, Sessions new sessions.
	Connections, Sessions int64
	// Refused counts connections that exceeded [MaxConnections] or [MaxSessions].
	Refused int64
	// Published counts messages from clients, once each, including wills.
	Published int64
	// QueueFull, TooLarge, QoS0Dropped and Swallowed count messages that the broker dropped:
	// because a queue was full, because the packet was too large for a client, because a
	// client did not read, and because a PUBLISH of MQTT 3.1.1 was refused, which that version
	// cannot report. See [Broker.Dropped].
	QueueFull, TooLarge, QoS0Dropped, Swallowed int64
	// RetainedFull counts messages that were delivered but not retained, because of
	// [MaxRetained]; they count as dropped, too.
	RetainedFull int64
	// Expired counts messages whose expiry passed before they were sent.
	Expired int64
	// EndedWithSession counts QoS 1 and 2 messages that a session still had when it ended,
	// HandedOver those that went to another member of a shared group.
	EndedWithSession, HandedOver int64
	// DiedWithNode counts QoS 1 and 2 messages that sessions of a killed node still had, and
	// Misrouted those that other nodes sent to it before they noticed its end, see [StaleFor].
	DiedWithNode, Misrouted int64
	// StrayAcks counts acknowledgements of messages that were not sent on their connection.
	StrayAcks int64
	// Repeated counts QoS 2 messages that a client sent again before PUBREL.
	Repeated int64
	// Violations counts connections that were ended because of a protocol error.
	Violations int64
	// Saves counts saves of the state, see [SaveEvery].
	Saves int64

	packets [2][16]int64
}

// Packets returns the number of packets of a type in a direction: received, or passed to the
// connection to be written.
func (c Counts) Packets(d Direction, t PacketType) int64 { return c.packets[d&1][t&15] }

// Dropped returns the number of messages that the broker dropped on its own. A fault run is
// valid only if it is 0.
func (c Counts) Dropped() int64 {
	return c.QueueFull + c.TooLarge + c.QoS0Dropped + c.Swallowed + c.RetainedFull
}

// traffic is what is counted without the core's mutex.
type traffic struct {
	refused        atomic.Int64 // connections and sessions above a bound
	received, sent atomic.Int64 // bytes
}
