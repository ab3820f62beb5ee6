package event

import "context"

// Granted is how the subscriptions of a server or broker stand at the MQTT
// broker.
type Granted struct {
	// Session numbers the broker's session that they are in: it grows whenever
	// the broker had kept none, and messages published meanwhile went nowhere. 0
	// is before the first.
	Session uint64
	// All is set while connected with every filter granted in that session. A
	// lost connection, a refused filter and Stop end it.
	All bool
}

// Subscriptions are those of a Server of transport/mqtt, or of a Broker of
// broker/mqtt, as the gate of an outbox follows them. All methods are safe for
// concurrent use.
type Subscriptions interface {
	// Granted returns how they stand now. It returns at once: an outbox asks
	// before it sends, and again when the broker has answered.
	Granted() Granted
	// WatchGranted has f called with how they stand, and then after each change,
	// until stop: one call at a time, in order, on a goroutine of its own. f may
	// take its time, call stop, and watch: nothing else waits for it. Changes that
	// come while it runs are not queued: the next call has the last state, and
	// there is none when that is what f was told before. Granted may therefore be
	// ahead of f. stop does not wait for a call that runs; no other one begins
	// after it. A panic is logged, and the next change is told.
	WatchGranted(f func(Granted)) (stop func())
	// ConfirmGranted returns nil when the broker has answered, on each connection
	// that subscribes, to something that was asked after the call: a connection
	// that looks alive may belong to a broker that is gone. It waits within ctx.
	ConfirmGranted(ctx context.Context) error
	// Subscribes reports whether one of them matches a topic name.
	Subscribes(topic string) bool
}
