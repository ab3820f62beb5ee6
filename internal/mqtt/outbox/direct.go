package outbox

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// direct sends a message at once instead of storing it first, while the store is empty and
// the relay is not held back: an acknowledged message needs no disk. The order of
// publishes is kept, because a message bypasses the store only when no earlier message is
// in it.
type direct struct {
	sender   *sender
	relaying *relaying
	store    outbox.Counter // nil stores everything
	patience time.Duration
	failed   atomic.Pointer[time.Time] // when a message last had to be stored
}

const (
	// directPause is how long all messages are stored after a direct publish failed.
	directPause = 250 * time.Millisecond
	// directBacklog is how many entries may wait for which a message waits: they
	// are gone in a moment. directPoll is how often it looks.
	directBacklog = 1024
	directPoll    = time.Millisecond
)

func newDirect(s *Settings, from *sender, r *relaying) *direct {
	d := &direct{sender: from, relaying: r, patience: s.SkipWhenEmpty}
	// Messages that Hold keeps, or whose number is their place in the store, must be
	// stored.
	if s.SkipWhenEmpty > 0 && s.KeepAcknowledged == 0 && from.link.Forget == nil {
		d.store, _ = s.Store.(outbox.Counter)
	}
	return d
}

// send reports whether the broker has acknowledged the message, which it only sends at QoS
// 1: a second attempt at QoS 2 would be a second message. If it returns false the message
// must be stored; it may have arrived already, with the same id.
func (d *direct) send(ctx context.Context, e *outbox.Entry) bool {
	if d.store == nil || e.QoS != 1 || !e.Due.IsZero() || sqltx.From(ctx) != nil || d.pausing() || !d.relaying.up() {
		return false
	}
	session, open := d.sender.gate.now()
	if !open || d.sender.link.Apart(e.Topic) {
		return false
	}
	patience := d.patience
	if end, ok := ctx.Deadline(); ok { // half of the caller's time is the store's
		patience = min(patience, time.Until(end)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if d.empty(ctx) {
		if back, ok := d.sender.take(e); ok {
			if d.publish(ctx, e, session) {
				return true
			}
			back()
		}
	}
	now := time.Now()
	d.failed.Store(&now)
	return false
}

// pausing reports whether a direct publish has failed within directPause.
func (d *direct) pausing() bool {
	failed := d.failed.Load()
	return failed != nil && time.Since(*failed) < directPause
}

// empty reports whether the store is empty, or becomes empty within ctx.
func (d *direct) empty(ctx context.Context) bool {
	n := d.store.Waiting()
	if n == 0 || n > directBacklog {
		return n == 0
	}
	tick := time.NewTicker(directPoll)
	defer tick.Stop()
	for d.store.Waiting() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (d *direct) publish(ctx context.Context, e *outbox.Entry, session uint64) bool {
	e.Accepted = time.Now()
	a := &attempt{sender: d.sender, entry: e, session: session}
	if err := a.link.Publish(ctx, e, a.noSubscriber); err != nil || !a.gate.stands(session, a.doubt()) {
		return false
	}
	if !a.unrouted.Load() {
		return true
	}
	if e.RetryUnrouted > 0 {
		return false // the relay tries it again, until somebody subscribes
	}
	a.alarms.hasNoSubscriber(e)
	return true
}
