package client

import (
	"sync/atomic"
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

// drops collects what the read loop has to drop, so that a flood of it is one
// call of the hook.
type drops struct {
	full, unmatched, illFormed, kept atomic.Int64
	noted                            atomic.Bool
}

func (r *run) dropped(full, unmatched, illFormed int) {
	if r.client.cfg.Hooks.Dropped == nil {
		return
	}
	d := &r.drops
	d.full.Add(int64(full))
	d.unmatched.Add(int64(unmatched))
	d.illFormed.Add(int64(illFormed))
	r.noteDrops()
}

// noteKept tells of one message more that is kept.
func (r *run) noteKept() {
	if r.client.cfg.Hooks.Dropped != nil {
		r.drops.kept.Add(1)
		r.noteDrops()
	}
}

func (r *run) noteDrops() {
	d := &r.drops
	if d.noted.CompareAndSwap(false, true) {
		r.events.do(r.reportDrops)
	}
}

func (r *run) reportDrops() {
	d := &r.drops
	d.noted.Store(false)
	full, unmatched, illFormed, kept := d.full.Swap(0), d.unmatched.Swap(0), d.illFormed.Swap(0), d.kept.Swap(0)
	if full+unmatched+illFormed+kept > 0 {
		r.client.hook(func() { r.client.cfg.Hooks.Dropped(int(full), int(unmatched), int(illFormed), int(kept)) })
	}
}
