package broker

import "sync/atomic"

// Counts is what a broker did since it was made.
type Counts struct {
	// Connections accepted, and sessions that began.
	Connections, Sessions int64
	// Refused are connections above the bounds of [MaxConnections] and
	// [MaxSessions].
	Refused int64
	// Published counts messages from clients, each once, wills included.
	Published int64
	// QueueFull, TooLarge, QoS0Dropped and Swallowed are messages that the
	// broker dropped on its own: for a bound of a queue, for the packet size of
	// a client, for a client that does not read, for a PUBLISH of MQTT 3.1.1
	// that was refused, which that version cannot say. See [Broker.Dropped].
	QueueFull, TooLarge, QoS0Dropped, Swallowed int64
	// RetainedFull are messages that were delivered, and not retained, for a
	// bound of those; they count as dropped, too.
	RetainedFull int64
	// Expired are messages whose expiry passed before they were sent.
	Expired int64
	// EndedWithSession are messages of QoS 1 and 2 that a session still held
	// when it ended, HandedOver those that went to another member of a group.
	EndedWithSession, HandedOver int64
	// StrayAcks are acknowledgements for what their connection did not carry.
	StrayAcks int64
	// Repeated are QoS 2 messages that a client sent again before PUBREL.
	Repeated int64
	// Violations are connections ended for a breach of the protocol.
	Violations int64
	// Saves of the state, see [SaveEvery].
	Saves int64

	packets [2][16]int64
}

// Packets is how many packets of a type went in a direction: received, or
// handed to the connection to be written.
func (c Counts) Packets(d Direction, t PacketType) int64 { return c.packets[d&1][t&15] }

// Dropped is how many messages the broker dropped on its own. A fault run is
// valid only if it is 0.
func (c Counts) Dropped() int64 {
	return c.QueueFull + c.TooLarge + c.QoS0Dropped + c.Swallowed + c.RetainedFull
}

// traffic is what is counted without the core's mutex.
type traffic struct {
	refused        atomic.Int64 // connections and sessions above a bound
	received, sent atomic.Int64 // bytes
}
