package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Health is a snapshot of a [Relay] and its store.
type Health struct {
	// Stats is of the store; zero when Err is about that.
	outbox.Stats
	// InFlight is how many entries wait for an outcome, Held how many were
	// acknowledged and stay until the end of Hold, ClosedKeys how many keys
	// wait because an entry of theirs failed, UnansweredKeys how many of those
	// because the broker did not acknowledge it.
	InFlight, Held, ClosedKeys, UnansweredKeys int
	// ClosedSince is when the oldest of those was closed; zero without one.
	ClosedSince time.Time
	// LastRefusal is the last refusal of an entry by the broker; its Seq is 0
	// while there was none.
	LastRefusal ClosedKey
	// Standby is set while another process that shares the store, or another relay
	// of this one, sends.
	Standby bool
	// Sent counts acknowledged entries, Failed failed attempts, and Resent
	// entries sent again because of ConnectionLost, since New.
	Sent, Failed, Resent uint64
	// Err is why the store failed last; nil while it works.
	Err error
}

// Health is a snapshot. It may be asked for often, also before and after Run.
func (r *Relay) Health(ctx context.Context) Health {
	s, err := r.store.Stats(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	h := Health{
		Stats: s, InFlight: r.w.flying, Held: r.w.held.len(), ClosedKeys: r.w.shut.lanes,
		Sent: r.counts.sent, Failed: r.counts.failed, Resent: r.counts.resent,
		UnansweredKeys: r.w.shut.silence.lanes,
		LastRefusal:    r.refusal, Standby: r.lease.standby, Err: r.failingLocked(),
	}
	r.w.shut.oldest(func(l *lane) bool {
		h.ClosedSince = l.closed.since
		return false
	})
	if h.Err == nil {
		h.Err = err
	}
	return h
}

func (r *Relay) failing() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failingLocked()
}

func (r *Relay) failingLocked() error {
	for _, err := range r.failure {
		if err != nil {
			return err
		}
	}
	return nil
}

// ClosedKeys returns up to limit keys that wait because an entry of theirs
// failed, those first that have waited longest. It may be asked for often, also
// before and after Run.
func (r *Relay) ClosedKeys(limit int) []ClosedKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []ClosedKey
	r.w.shut.oldest(func(l *lane) bool {
		if len(keys) >= limit {
			return false
		}
		keys = append(keys, l.closedKey())
		return true
	})
	return keys
}

// Requeue puts quarantined entries back into the store, as [outbox.Store.Requeue] does,
// and has them looked for at once. Requeue of the store alone is found too, by
// the next look at all that is in it, which is seldom while much is.
func (r *Relay) Requeue(ctx context.Context, seqs ...uint64) error {
	if err := r.store.Requeue(ctx, seqs...); err != nil {
		return err
	}
	r.mu.Lock()
	r.sweepNow = true
	r.mu.Unlock()
	r.wake()
	return nil
}

// runMeasurer asks the store how it is until ctx ends.
func (r *Relay) runMeasurer(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		start := time.Now()
		m := r.measure(ctx)
		if ctx.Err() != nil {
			return
		}
		r.mu.Lock()
		r.measured = &m
		r.mu.Unlock()
		wakeUp(r.wakeWorker)
		timer.Reset(max(r.o.PollInterval, (measureShare-1)*time.Since(start)))
	}
}

func (r *Relay) measure(ctx context.Context) (m measured) {
	own := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.own
	}
	m.own = own()
	ctx, cancel := context.WithTimeoutCause(ctx, measureTime, fmt.Errorf("outbox: the store was not measured within %v", measureTime))
	defer cancel()
	m.stats, m.err = r.store.Stats(ctx)
	if m.err != nil && context.Cause(ctx) != nil {
		m.err = fmt.Errorf("%w: %w", context.Cause(ctx), m.err)
	}
	if own() != m.own {
		m.own = -1
	}
	return m
}
