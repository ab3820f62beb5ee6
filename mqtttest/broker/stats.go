package broker

import "time"

// Stats is what a broker has now, and the sums that are read most. [Counts] has
// the causes.
type Stats struct {
	// Uptime is the time since the last Start, 0 while it is stopped.
	Uptime time.Duration
	// Clients are connected, Sessions are all that are kept.
	Clients, Sessions int
	// Subscriptions are the filters of all sessions.
	Subscriptions int
	// MessagesReceived and MessagesSent count PUBLISH packets from and to clients,
	// BytesReceived and BytesSent the bytes of all packets.
	MessagesReceived, MessagesSent int64
	BytesReceived, BytesSent       int64
	// Retained messages, and the bytes that count for their bound.
	Retained, RetainedBytes int
	// Queued are messages of QoS 1 and 2 that sessions have not acknowledged, and
	// the bytes that count for their bound.
	Queued, QueuedBytes int
	// Dropped is as [Counts.Dropped].
	Dropped int64
	// FileBytes is the size of the file of [WithFile], FileErrors how often it could
	// not be written.
	FileBytes, FileErrors int64
}

// stats goes through all sessions. The core's mutex is held.
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
