package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// jobKind is what the worker does with the store.
type jobKind int

const (
	idle    jobKind = iota
	holding         // the right to relay
	yielding
	deleting
	quarantining
	checking // whether a Flush is done
	reading  // on at the frontier
	passing  // again what was skipped
	fetching // the heads of closed lanes
	measuring
	ending
	jobKinds
)

// maxDelete is how many entries one Delete takes.
const maxDelete = 4096

// sparing is for how many times as long as a job took the store is left to
// others before the next one of its kind.
func (k jobKind) sparing() int {
	switch k {
	case checking:
		return 9
	case passing, fetching:
		return 3
	}
	return 0
}

type job struct {
	kind    jobKind
	seqs    []uint64
	bad     rejected
	from    uint64
	limit   int
	lanes   []*lane  // to be read, or left out
	without []string // of those
	epoch   int
	wait    time.Duration // of idle
	deaf    bool          // of idle: what is appended is for another relay of the store to hear
}

// worker does all reading and writing of the store, one job at a time: what is
// read is therefore always compared with what is known to be deleted. Measuring
// is beside it.
type worker struct {
	*Relay
	life      context.Context // of Run
	pauses    [jobKinds]*backoff.ExponentialBackOff
	notBefore [jobKinds]time.Time

	nextPoll, nextSweep, nextHold time.Time
	passCost                      time.Duration
	// spared is until when a job leaves the store to the others, by its cost, and
	// last the kind of the last job that read.
	spared [jobKinds]time.Time
	last   jobKind

	limits [jobKinds]time.Duration // of the next job, where it is over storeTime

	fill fillWatch
}

// nextJob returns what to do now: finished entries are deleted before more are read.
func (w *worker) nextJob(now time.Time) job {
	w.mu.Lock()
	defer w.mu.Unlock()
	win, stopping := w.w, w.isStopping()
	win.releaseHeld(now)
	if stopping && win.flying == 0 && len(win.acked) == 0 && len(win.rejected) == 0 {
		return job{kind: ending}
	}
	w.poll(now)
	if j := w.leaseJob(now); j.kind != idle {
		return j
	}
	retry := win.due(now)
	awaited := (stopping || len(w.waiters) > 0) && win.flying == 0
	deleteNow := awaited || len(win.acked) >= w.o.Batch || now.Sub(win.ackedSince) >= deleteDelay
	switch {
	case len(win.rejected) > 0 && w.may(quarantining, now):
		return job{kind: quarantining, bad: win.rejected[0]}
	case len(win.acked) > 0 && deleteNow && w.may(deleting, now):
		return job{kind: deleting, seqs: win.acked[:min(len(win.acked), maxDelete)]}
	case !w.lease.permits(now):
	case w.checkDue && w.anyTarget() && w.last != checking && w.may(checking, now):
		return job{kind: checking}
	case !stopping && w.healthy():
		if j := w.readJob(now); j.kind != idle {
			return j
		}
	}
	return job{kind: idle, wait: min(retry, w.idleFor(now)), deaf: w.lease.standby}
}

// leaseJob is what to do about the right to relay.
func (w *worker) leaseJob(now time.Time) job {
	l := &w.lease
	useless := l.shared && l.useless(now, w.w.flying)
	switch {
	case l.ctx != nil && !now.Before(l.until):
		w.lost(false)
	case l.ctx != nil && useless:
		return job{kind: yielding}
	}
	if (l.known && !l.shared) || useless && !l.sending.IsZero() || useless && !l.down.IsZero() {
		return job{}
	}
	if !now.Before(w.nextHold) && w.may(holding, now) {
		return job{kind: holding}
	}
	return job{}
}

// may reports whether a job may run: not in the pause after a failure, nor while it leaves
// the store to other jobs.
func (w *worker) may(k jobKind, now time.Time) bool {
	return !now.Before(w.notBefore[k.class()]) && !now.Before(w.spared[k])
}

// readJob is what to read now. What is new goes first, but heads and passes have
// their turn after it, for a quarter of the time at most.
func (w *worker) readJob(now time.Time) job {
	win := w.w
	if !win.pass.on {
		sweep := w.sweepNow || !now.Before(w.nextSweep) && w.atPoll
		w.atPoll = false
		win.pass.begin(sweep)
		if sweep {
			w.sweepNow, w.passCost = false, 0
		}
	}
	ahead := win.ahead() && w.may(reading, now)
	turn := func(k jobKind) bool {
		return !now.Before(w.notBefore[reading]) && (!ahead || w.last != k && !now.Before(w.spared[k]))
	}
	lanes, without := win.without()
	j := job{limit: win.chunk, epoch: win.epoch, lanes: lanes, without: without}
	switch {
	case len(win.shut.fetch) > 0 && turn(fetching):
		j.kind, j.without = fetching, nil
		j.lanes, j.from, j.limit = win.heads()
	case win.pass.on && win.room() && turn(passing):
		j.kind, j.from = passing, win.pass.at
	case ahead:
		j.kind, j.from = reading, win.frontier
		if len(w.waiters) > 0 { // a Flush waits for what is in the store, all of it
			j.lanes, j.without = nil, nil
			w.asked()
		}
	}
	return j
}

// healthy is false while entries cannot be deleted or quarantined: then no more
// are sent, because each would be sent again after a restart.
func (w *worker) healthy() bool {
	return w.failure[deleting] == nil && len(w.w.rejected) < w.o.Batch && len(w.w.busy) < w.o.Batch
}

// poll has everything looked at again when it is time.
func (w *worker) poll(now time.Time) {
	if now.Before(w.nextPoll) {
		return
	}
	w.nextPoll = now.Add(w.o.PollInterval)
	w.checkDue, w.atPoll, w.w.atEnd = true, true, false
	w.w.acked, w.w.busy = append(w.w.acked, w.w.busy...), nil
}

func (w *worker) idleFor(now time.Time) time.Duration {
	wait := min(w.nextPoll.Sub(now), w.w.heldUntil(now))
	if len(w.w.acked) > 0 {
		wait = min(wait, max(w.w.ackedSince.Add(deleteDelay).Sub(now), w.notBefore[deleting].Sub(now)))
	}
	until := func(t time.Time) {
		if d := t.Sub(now); d > 0 {
			wait = min(wait, d)
		}
	}
	for k := range jobKinds {
		if k != deleting {
			until(w.notBefore[k])
		}
		until(w.spared[k])
	}
	if w.lease.shared {
		until(w.nextHold)
		until(w.lease.until)
	}
	return max(wait, 0)
}

// A job that takes longer than storeTime has failed: a connection to a database may hang
// for a quarter of an hour before the operating system closes it, while a new one would
// work. In case the store is only slow, the next job may take twice as long.
const (
	storeTime    = 30 * time.Second
	maxStoreTime = 10 * time.Minute
)

func (w *worker) do(ctx context.Context, j job) error {
	k, start := j.kind.class(), time.Now()
	limit := max(w.limits[k], storeTime)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("outbox: the store did not answer within %v", limit))
	defer cancel()
	err := w.doWithin(ctx, j)
	switch {
	case err == nil:
		w.limits[k] = 2 * time.Since(start)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		w.limits[k] = min(2*limit, maxStoreTime)
		err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}

func (w *worker) doWithin(ctx context.Context, j job) error {
	start := time.Now()
	switch j.kind {
	case holding:
		return w.hold(ctx)
	case yielding:
		return w.yield(ctx)
	case deleting:
		return w.delete(ctx, j.seqs)
	case quarantining:
		return w.quarantine(ctx, j.bad)
	}
	w.last = j.kind
	err := w.look(ctx, j)
	// Others have the store for three times as long, and what a check costs is at
	// most a tenth of the time.
	w.spared[j.kind] = time.Now().Add(time.Duration(j.kind.sparing()) * time.Since(start))
	if errors.Is(err, outbox.ErrNotHolder) {
		w.mu.Lock()
		w.lost(true)
		w.nextHold = time.Now().Add(w.o.PollInterval)
		w.mu.Unlock()
		return nil
	}
	return err
}

func (w *worker) delete(ctx context.Context, seqs []uint64) error {
	var busy []uint64
	err := w.store.Delete(ctx, seqs...)
	if e, ok := errors.AsType[*outbox.BusyError](err); ok {
		busy = e.Seqs
	} else if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seq := range seqs {
		if !slices.Contains(busy, seq) {
			w.w.forget(seq)
		}
	}
	w.w.busy = append(w.w.busy, busy...)
	w.w.acked = slices.Clone(w.w.acked[len(seqs):])
	w.w.ackedSince = time.Now()
	w.checkDue = true
	return nil
}

func (w *worker) quarantine(ctx context.Context, bad rejected) error {
	err := w.store.Quarantine(ctx, bad.entry.Seq, bad.err.Error())
	if _, busy := errors.AsType[*outbox.BusyError](err); busy {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.w.rejected = append(slices.Clone(w.w.rejected[1:]), bad) // others first
		w.spared[quarantining] = time.Now().Add(w.o.PollInterval / time.Duration(len(w.w.rejected)))
		return nil
	}
	if err != nil && !errors.Is(err, outbox.ErrQuarantineFull) {
		return err
	}
	w.mu.Lock()
	w.w.rejected = w.w.rejected[1:]
	now := time.Now()
	var k ClosedKey
	told := false
	if err != nil {
		w.w.unquarantined(bad, now)
		k = bad.it.lane.closedKey()
		k.Err = fmt.Errorf("%w: %w", err, bad.err)
		told = w.tell.noRoom(err, now)
	} else {
		w.w.quarantined(bad)
		w.own++
	}
	w.checkDue = true
	w.mu.Unlock()
	wakeUp(w.wakeSender)
	switch o := &w.o.Observe; {
	case err == nil && o.Quarantined != nil:
		o.Quarantined(bad.entry, bad.err)
	case told && o.QuarantineFull != nil:
		o.QuarantineFull(k)
	}
	return nil
}

// look reads.
func (w *worker) look(ctx context.Context, j job) error {
	if j.kind == checking {
		return w.check(ctx)
	}
	start := time.Now()
	entries, err := w.store.Read(ctx, j.from, j.limit, j.without...)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	defer wakeUp(w.wakeSender)
	if j.epoch != w.w.epoch {
		return nil
	}
	now := time.Now()
	switch j.kind {
	case fetching:
		w.w.loadHeads(j.lanes, entries)
	case passing:
		w.passCost += max(now.Sub(start), time.Duration(len(entries))*time.Microsecond)
		sweeping := w.w.pass.sweeping
		w.w.loadPass(entries)
		if sweeping && !w.w.pass.on { // reading what is not sent is at most 1 % of the time
			w.nextSweep = now.Add(w.o.PollInterval + 100*w.passCost)
		}
	default:
		if len(entries) == 0 {
			w.reachedEnd()
		}
		w.w.loadAhead(entries, j.lanes)
	}
	return nil
}

// class returns the kind under which failures of a job are counted: all reads share one.
func (k jobKind) class() jobKind {
	if k == passing || k == fetching {
		return reading
	}
	return k
}

func (w *worker) failed(k jobKind, err error) {
	k = k.class()
	if w.pauses[k] == nil {
		w.pauses[k] = newPauses(&w.o)
	}
	w.notBefore[k] = time.Now().Add(w.pauses[k].NextBackOff())
	first := w.failing() == nil
	w.mu.Lock()
	w.failure[k] = err
	w.mu.Unlock()
	if first && w.o.Observe.Failed != nil {
		w.o.Observe.Failed(err)
	}
}

func (w *worker) worked(k jobKind) {
	k = k.class()
	if w.pauses[k] == nil {
		return
	}
	w.pauses[k] = nil
	w.mu.Lock()
	w.failure[k] = nil
	w.mu.Unlock()
	if w.failing() == nil && w.o.Observe.Works != nil {
		w.o.Observe.Works()
	}
}

func newPauses(o *Options) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: o.MinBackoff, MaxInterval: o.MaxBackoff,
		Multiplier: 2, RandomizationFactor: 0.25,
	}
}
