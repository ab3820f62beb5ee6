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

// Stats returns what the broker has now; the same is told below $SYS/broker, see
// [SysEvery]. It goes through all sessions, and must not be called by an
// observer.
func (b *Broker) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.statsLocked()
}

func (b *Broker) statsLocked() Stats {
	s := Stats{
		Sessions:         len(b.sessions),
		MessagesReceived: b.counts.Packets(ToBroker, Publish), MessagesSent: b.counts.Packets(ToClient, Publish),
		BytesReceived: b.received.Load(), BytesSent: b.sent.Load(),
		Retained: len(b.retained), RetainedBytes: b.retainedBytes, Dropped: b.counts.Dropped(),
	}
	if !b.began.IsZero() {
		s.Uptime = time.Since(b.began)
	}
	for _, one := range b.sessions {
		if one.conn != nil {
			s.Clients++
		}
		s.Subscriptions += len(one.subs)
		s.Queued += one.out.open
		s.QueuedBytes += one.out.bytes
	}
	s.FileBytes, s.FileErrors = b.journal.stats()
	return s
}
