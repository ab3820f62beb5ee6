package outbox

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// direct sends a message at once instead of storing it first, while nothing waits
// in the store and nothing holds the relay back: what the broker has acknowledged
// needs no disk. The order stays that of the publishes, because a message goes past
// the store only when none before it is in there.
type direct struct {
	sender   *sender
	relaying *relaying
	store    outbox.Counter // nil stores everything
	patience time.Duration
	failed   atomic.Pointer[time.Time] // when a message last had to be stored
}

const (
	// directPause is for how long everything is stored after a message had to be.
	directPause = 250 * time.Millisecond
	// directBacklog is how many entries may wait for which a message waits: they
	// are gone in a moment. directPoll is how often it looks.
	directBacklog = 1024
	directPoll    = time.Millisecond
)

func newDirect(s *Settings, from *sender, r *relaying) *direct {
	d := &direct{sender: from, relaying: r, patience: s.Direct}
	// What is held, or numbered by its place in the store, has to be in the store.
	if s.Direct > 0 && s.Hold == 0 && from.link.Forget == nil {
		d.store, _ = s.Store.(outbox.Counter)
	}
	return d
}

// send reports whether the broker has the message, which it is to have at QoS 1: of
// QoS 2 a second attempt would be a second message. Otherwise the message
// is to be stored; it may arrive all the same, under the same id.
func (d *direct) send(ctx context.Context, e *outbox.Entry) bool {
	if d.store == nil || e.QoS != 1 || sqltx.From(ctx) != nil || d.pausing() || !d.relaying.up() {
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

// pausing reports whether a message had to be stored a moment ago.
func (d *direct) pausing() bool {
	failed := d.failed.Load()
	return failed != nil && time.Since(*failed) < directPause
}

// empty reports whether nothing waits in the store, or no longer within ctx.
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
