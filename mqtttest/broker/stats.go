package broker

import "time"

// Stats is the current state of a broker, with the most important totals. [Counts] has more
// details.
type Stats struct {
	// Uptime is the time since the last Start; 0 while stopped.
	Uptime time.Duration
	// Clients is the number of connected clients, Sessions of all sessions.
	Clients, Sessions int
	// Subscriptions is the number of filters of all sessions.
	Subscriptions int
	// MessagesReceived and MessagesSent count PUBLISH packets from and to clients;
	// BytesReceived and BytesSent count the bytes of all packets.
	MessagesReceived, MessagesSent int64
	BytesReceived, BytesSent       int64
	// Retained is the number of retained messages, RetainedBytes their size.
	Retained, RetainedBytes int
	// Queued is the number of QoS 1 and 2 messages that clients have not acknowledged,
	// QueuedBytes their size.
	Queued, QueuedBytes int
	// Dropped is the same as [Counts.Dropped].
	Dropped int64
	// FileBytes is the size of the file of [WithFile], FileErrors the number of failed writes.
	FileBytes, FileErrors int64
}

// stats visits all sessions. The core's mutex is held.
func (c *core) stats() Stats {
	s := Stats{
		Sessions:         len(c.sessions),
		MessagesReceived: c.counts.Packets(ToBroker, Publish), MessagesSent: c.counts.Packets(ToClient, Publish),
		BytesReceived: c.traffic.received.Load(), BytesSent: c.traffic.sent.Load(),
		Retained: len(c.retained.byTopic), RetainedBytes: c.retained.bytes, Dropped: c.counts.Dropped(),
	}
	if !c.began.IsZero() {
		s.Uptime = time.Since(c.began)
	}
	for _, one := range c.sessions {
		if one.conn != nil {
			s.Clients++
		}
		s.Subscriptions += len(one.subs)
		s.Queued += one.out.open
		s.QueuedBytes += one.out.bytes
	}
	s.FileBytes, s.FileErrors = c.record.journal.stats()
	return s
}
