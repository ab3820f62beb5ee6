package relay

import (
	"context"
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// lease is the right to relay when several processes share a store, or several relays of
// one process: nothing is read or sent without it. The worker takes, renews and releases
// it.
type lease struct {
	known   bool // whether the store is shared is known
	shared  bool
	standby bool // another relay has it
	until   time.Time
	length  time.Duration

	ctx    context.Context // of attempts; ends with the lease
	cancel context.CancelFunc
	timer  *time.Timer

	// lastOutcome and lastAnswer are when the last outcome arrived and when the broker last
	// answered. downSince is since when the connection is down, sendingSince since when the
	// send function runs.
	lastOutcome, lastAnswer, downSince, sendingSince time.Time
}

// permits reports whether this process may read and send.
func (l *lease) permits(now time.Time) bool {
	return l.known && (!l.shared || now.Before(l.until))
}

// within returns the context of one attempt.
func (l *lease) within(ctx context.Context) context.Context {
	if !l.shared {
		return ctx
	}
	return l.ctx
}

// taken records that the lease is held until a time; a zero time means for ever.
func (l *lease) acquired(ctx context.Context, until, now time.Time) {
	l.known, l.shared, l.standby = true, !until.IsZero(), false
	if !l.shared {
		return
	}
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(ctx)
		l.timer = time.AfterFunc(until.Sub(now), l.cancel)
		l.lastOutcome = now
	} else if until.After(l.until) {
		l.timer.Reset(until.Sub(now))
	}
	l.length = max(l.length, until.Sub(now))
	l.until = until
}

// end records that the lease is no longer held.
func (l *lease) end() {
	l.until = time.Time{}
	if l.ctx != nil {
		l.timer.Stop()
		l.cancel()
		l.ctx = nil
	}
}

// unableToSend reports whether this process could not send for the duration of a lease:
// then another one should.
func (l *lease) unableToSend(now time.Time, flying int) bool {
	long := func(since time.Time) bool { return !since.IsZero() && now.Sub(since) >= l.length }
	return long(l.sendingSince) ||
		flying > 0 && long(l.lastOutcome) ||
		long(l.downSince) && !l.lastAnswer.After(l.downSince)
}

// hold takes or renews the right to relay.
func (w *worker) hold(ctx context.Context) error {
	now := time.Now()
	var until time.Time
	err := outbox.ErrNotHolder
	if w.claim() {
		until, err = w.store.Hold(ctx)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(err, outbox.ErrNotHolder) {
		w.lost(true)
		w.nextHold = now.Add(w.o.PollInterval)
		return nil
	}
	if err != nil {
		return err
	}
	w.lease.acquired(w.life, until, now)
	w.nextHold = now.Add(until.Sub(now) / 3)
	wakeUp(w.wakeSender)
	return nil
}

// lost records that another relay sends, or may send.
func (w *worker) lost(standby bool) {
	if w.lease.ctx != nil {
		w.w.reset()
	}
	w.lease.end()
	w.lease.known, w.lease.shared, w.lease.standby = true, true, standby
	if standby {
		w.giveUpFlush(outbox.ErrNotHolder)
	}
}

// yield releases the lease and the claim, so that a relay that can send takes over. Other
// relays look every PollInterval.
func (w *worker) yield(ctx context.Context) error {
	w.mu.Lock()
	w.lost(false)
	w.nextHold = time.Now().Add(max(2*w.o.PollInterval, 100*time.Millisecond))
	w.mu.Unlock()
	w.unclaim()
	return w.store.Yield(ctx)
}
