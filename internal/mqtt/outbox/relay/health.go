package relay

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Health is a snapshot of a [Relay] and its store.
type Health struct {
	// Stats is of the store; it is zero when Err is about measuring the store.
	outbox.Stats
	// InFlight counts entries that wait for an outcome, Held those that were acknowledged
	// and stay in the store until KeepAcknowledged has passed, ClosedKeys keys that wait
	// because an entry failed, and UnansweredKeys those of them whose entry the broker did
	// not acknowledge.
	InFlight, Held, ClosedKeys, UnansweredKeys int
	// ClosedSince is when the key that waits longest was closed; zero if no key waits.
	ClosedSince time.Time
	// LastRefusal is the broker's last refusal of an entry; its Seq is 0 if there was none.
	LastRefusal ClosedKey
	// Standby is set while another process that shares the store, or another relay of this
	// process, sends.
	Standby bool
	// Sent counts acknowledged entries, Failed failed attempts, and Resent
	// entries sent again because of ConnectionLost, since New.
	Sent, Failed, Resent uint64
	// Err is the last failure of the store, or nil if it works.
	Err error
}

// Health returns a snapshot. It may be called often, also before and after Run.
func (r *Relay) Health(ctx context.Context) Health {
	s, err := r.store.Stats(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	h := Health{
		Stats: s, InFlight: r.w.inFlight, Held: r.w.kept.Len(), ClosedKeys: r.w.closed.lanes,
		Sent: r.counts.sent, Failed: r.counts.failed, Resent: r.counts.resent,
		UnansweredKeys: r.w.closed.unanswered.lanes,
		LastRefusal:    r.refusal, Standby: r.lease.standby, Err: r.failingLocked(),
	}
	r.w.closed.oldest(func(l *lane) bool {
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

// ClosedKeys returns up to limit keys that wait because an entry failed, the one that has
// waited longest first. It may be called often, also before and after Run.
func (r *Relay) ClosedKeys(limit int) []ClosedKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	var keys []ClosedKey
	r.w.closed.oldest(func(l *lane) bool {
		if len(keys) >= limit {
			return false
		}
		keys = append(keys, l.closedKey())
		return true
	})
	return keys
}

// RetryQuarantined moves quarantined entries back into the store, as [outbox.Store.RetryQuarantined] does,
// and makes the relay read them at once. Entries that were moved back in the store directly
// are found by the next sweep of the whole store, which is rare while the store has many
// entries.
func (r *Relay) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	if err := r.store.RetryQuarantined(ctx, seqs...); err != nil {
		return err
	}
	r.mu.Lock()
	r.sweepNow = true
	r.mu.Unlock()
	r.wake()
	return nil
}

// Discard deletes waiting entries without sending them. It returns those that it left because
// they have been sent and wait for their outcome, or were acknowledged. The error is that of
// the store's Delete.
func (r *Relay) Discard(ctx context.Context, seqs ...uint64) (sent []uint64, err error) {
	r.mu.Lock()
	free, sent := r.w.bar(seqs)
	r.mu.Unlock()
	if len(free) > 0 {
		err = r.store.Delete(ctx, free...)
	}
	r.mu.Lock()
	r.w.unbar(free)
	r.checkDue = true // a Flush may have nothing else to wait for
	r.mu.Unlock()
	r.wake()
	return sent, err
}

// RetryKeys ends the pauses of keys that wait because their first entry failed, and returns how
// many those were.
func (r *Relay) RetryKeys(keys ...string) (n int) {
	r.mu.Lock()
	for _, key := range keys {
		if r.w.retryKey(key, time.Now()) {
			n++
		}
	}
	r.mu.Unlock()
	r.wake()
	return n
}

// Failures returns, for each key, the last failure of its first entry, or nil if the key does
// not wait because of one.
func (r *Relay) Failures(keys ...string) []error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := make([]error, len(keys))
	for i, key := range keys {
		if l := r.w.lanes[key]; l != nil && l.closed != nil {
			errs[i] = l.closed.err
		}
	}
	return errs
}

// runMeasurer measures the store again and again until ctx ends.
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
		if r.moving {
			return -1
		}
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
