package outbox

import (
	"context"
	"time"
)

// runSender hands entries to the send function, one after the other, whenever
// the window permits.
func (r *Relay) runSender(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		f, wait := r.nextFlight()
		if f.it != nil {
			if err := r.send(ctx, f.entry, func(err error) { r.outcome(f, err) }); err != nil {
				r.outcome(f, err)
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-r.stopping:
			return
		case <-r.wakeSender:
		case <-timer.C:
		}
	}
}

// flight is one attempt to send an item.
type flight struct {
	it      *item
	entry   *Entry
	attempt int
}

// nextFlight is what to send now, or how long to wait at most before asking
// again.
func (r *Relay) nextFlight() (flight, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isStopping() {
		return flight{}, time.Hour
	}
	it, wait := r.w.next(time.Now())
	if it == nil {
		return flight{}, wait
	}
	return flight{it: it, entry: it.entry, attempt: it.attempt}, 0
}

// outcome takes the outcome of one attempt; of two outcomes the first counts.
func (r *Relay) outcome(f flight, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || f.it.state != flying || f.it.attempt != f.attempt {
		return
	}
	now := time.Now()
	switch {
	case err == nil:
		r.counts.sent++
		r.w.acknowledge(f.it, now)
	case r.o.Permanent(err):
		r.counts.failed++
		r.w.reject(f.it, err)
	default:
		r.counts.failed++
		r.w.fail(f.it, now)
	}
	r.wake()
}
