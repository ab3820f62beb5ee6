package client

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Hooks are told what happens. Each may be nil, which costs nothing. They are
// called concurrently, never on a read loop, and must not block for long; a
// panic is logged.
type Hooks struct {
	// Handled is called after each attempt of a handler, on its worker.
	Handled func(d *Delivery, attempt int, took time.Duration, err error)
	// Retrying is called when another attempt follows after a pause.
	Retrying func(d *Delivery, attempt int, after time.Duration, err error)
	// DeadLettered is called once the store, which destination names, has the
	// dead letter.
	DeadLettered func(d *Delivery, id, destination string, attempts int, cause error)
	// Parked is called once the store has a message that is handled again
	// later; cause is nil when it only waits for others of its key.
	Parked func(d *Delivery, id, key string, attempts int, cause error)
	// Held is called once a minute for each of the keys that most messages wait
	// for, ten at most.
	Held func(h event.HeldKey)
	// Connected is called after each attempt to connect; err is nil when the
	// broker accepted.
	Connected func(clientID, address string, sessionPresent bool, err error)
	// Disconnected is called after the loss of a connection.
	Disconnected func(clientID, address string, err error)
	// SessionLost is called when the broker had lost our session, with how many
	// of our publishes ended with an unknown outcome.
	SessionLost func(clientID string, unfinished int)
	// Subscribed is called with a filter that was refused, and with none and
	// how many are granted once every one is.
	Subscribed func(filter string, granted int, err error)
	// Lowered is called with a filter that was granted at a lower QoS than was
	// asked for.
	Lowered func(filter string, asked, granted byte, err error)
	// Dropped is called with how many messages were dropped since the last
	// call, because the queue was full, because no subscription matched, or
	// because the text of a QoS 0 message was ill-formed; and with how many were
	// not dropped but kept for a subscription that comes later.
	Dropped func(queueFull, unmatched, illFormed, kept int)
}
