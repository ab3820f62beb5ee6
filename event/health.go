package event

// Health is a snapshot of a connection to the broker and of what passes
// through it, for readiness probes and metrics.
type Health struct {
	// Connected is set while the main connection is up: the subscriber's, or
	// the publisher's when nothing is subscribed.
	Connected bool
	// Ready is set while connected with every filter granted.
	Ready bool
	// Filters is how many topic filters are wanted, Granted how many of them
	// the broker has granted.
	Filters int
	Granted int
	// InFlight counts our QoS 1 and 2 messages that wait for an
	// acknowledgement.
	InFlight int
	// Queued counts messages that arrived and wait for a handler, Running those
	// that are being handled.
	Queued  int
	Running int
	// Dropped counts QoS 0 messages that found the queue full, Unmatched
	// messages that no subscription matched, both since the client was made.
	Dropped   int64
	Unmatched int64
	// HeadersLost counts messages that went out without their headers or
	// expiry, for which MQTT 3.1.1 has no place, since the client was made.
	HeadersLost int64
	// LateReplies counts replies that nobody waited for any more, or that
	// answered no request of ours.
	LateReplies int64
	// LastError is why it is not connected or not ready; nil when it is.
	LastError error
}
