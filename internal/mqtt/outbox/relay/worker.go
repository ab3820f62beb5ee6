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

// jobKind is a kind of work with the store.
type jobKind int

const (
	idle     jobKind = iota
	leasing          // take or renew the lease
	yielding         // release the lease
	deleting
	quarantining
	checking // whether a Flush is done
	reading  // new entries, after the frontier
	passing  // entries that lanes skipped
	fetching // heads of closed lanes
	measuring
	ending
	jobKinds
)

// maxDelete is the maximum number of entries of one Delete.
const maxDelete = 4096

// restFactor is how long the store is left to other jobs after a job, as a multiple of the
// time that the job took.
func (k jobKind) restFactor() int {
	switch k {
	case checking:
		return 9
	case passing, fetching:
		return 3
	}
	return 0
}

type job struct {
	kind           jobKind
	seqs           []uint64
	bad            rejected
	from           uint64
	limit          int
	lanes          []*lane  // whose heads are read, or that the read leaves out
	without        []string // keys of the lanes that the read leaves out
	epoch          int
	wait           time.Duration // of idle: how long at most
	ignoreAppended bool          // of idle: another relay of the store handles new entries
}

// worker does all reading and writing of the store, one job at a time: what a read returns
// is therefore never older than what is known to be deleted. Measuring runs beside it.
type worker struct {
	*Relay
	life      context.Context // of Run
	pauses    [jobKinds]*backoff.ExponentialBackOff
	notBefore [jobKinds]time.Time

	nextPoll, nextSweep, nextHold time.Time
	passCost                      time.Duration
	// restUntil is the end of the rest after a job of each kind; last is the kind of the
	// last job that read.
	restUntil [jobKinds]time.Time
	last      jobKind

	limits [jobKinds]time.Duration // time limit of the next job, if it is above storeTime

	fill fillWatch
}

// nextJob returns the next job: acknowledged entries are deleted before more are read.
func (w *worker) nextJob(now time.Time) job {
	w.mu.Lock()
	defer w.mu.Unlock()
	win, stopping := w.w, w.isStopping()
	win.releaseKept(now)
	if stopping && win.inFlight == 0 && len(win.acked) == 0 && len(win.rejected) == 0 {
		return job{kind: ending}
	}
	w.poll(now)
	if j := w.leaseJob(now); j.kind != idle {
		return j
	}
	retry := win.due(now)
	awaited := (stopping || len(w.waiters) > 0) && win.inFlight == 0
	deleteNow := awaited || len(win.acked) >= w.o.Batch || now.Sub(win.ackedSince) >= deleteDelay
	switch {
	case len(win.rejected) > 0 && w.mayRun(quarantining, now):
		return job{kind: quarantining, bad: win.rejected[0]}
	case len(win.acked) > 0 && deleteNow && w.mayRun(deleting, now):
		return job{kind: deleting, seqs: win.acked[:min(len(win.acked), maxDelete)]}
	case !w.lease.permits(now):
	case w.checkDue && w.anyTarget() && w.last != checking && w.mayRun(checking, now):
		return job{kind: checking}
	case !stopping && w.healthy():
		if j := w.readJob(now); j.kind != idle {
			return j
		}
	}
	return job{kind: idle, wait: min(retry, w.idleFor(now)), ignoreAppended: w.lease.standby}
}

// leaseJob returns what to do about the lease, if anything.
func (w *worker) leaseJob(now time.Time) job {
	l := &w.lease
	unable := l.shared && l.unableToSend(now, w.w.inFlight)
	switch {
	case l.ctx != nil && !now.Before(l.until):
		w.lost(false)
	case l.ctx != nil && unable:
		return job{kind: yielding}
	}
	if (l.known && !l.shared) || unable && !l.sendingSince.IsZero() || unable && !l.downSince.IsZero() {
		return job{}
	}
	if !now.Before(w.nextHold) && w.mayRun(leasing, now) {
		return job{kind: leasing}
	}
	return job{}
}

// may reports whether a job may run: not in the pause after a failure, nor while it leaves
// the store to other jobs.
func (w *worker) mayRun(k jobKind, now time.Time) bool {
	return !now.Before(w.notBefore[k.class()]) && !now.Before(w.restUntil[k])
}

// readJob returns the next read. New entries come first, but heads and passes take their
// turn after each of those reads, for a quarter of the time at most.
func (w *worker) readJob(now time.Time) job {
	win := w.w
	if !win.pass.active {
		sweep := w.sweepNow || !now.Before(w.nextSweep) && w.atPoll
		w.atPoll = false
		win.pass.begin(sweep)
		if sweep {
			w.sweepNow, w.passCost = false, 0
		}
	}
	ahead := win.ahead() && w.mayRun(reading, now)
	turn := func(k jobKind) bool {
		return !now.Before(w.notBefore[reading]) && (!ahead || w.last != k && !now.Before(w.restUntil[k]))
	}
	lanes, without := win.excludedLanes()
	j := job{limit: win.readSize, epoch: win.epoch, lanes: lanes, without: without}
	switch {
	case len(win.closed.fetch) > 0 && turn(fetching):
		j.kind, j.without = fetching, nil
		j.lanes, j.from, j.limit = win.heads()
	case win.pass.active && win.room() && turn(passing):
		j.kind, j.from = passing, win.pass.at
	case ahead:
		j.kind, j.from = reading, win.frontier
		if len(w.waiters) > 0 { // a Flush waits for every entry in the store
			j.lanes, j.without = nil, nil
			w.readBegun()
		}
	}
	return j
}

// healthy reports whether entries can be deleted and quarantined. Otherwise no more are
// sent, because each would be sent again after a restart.
func (w *worker) healthy() bool {
	return w.failure[deleting] == nil && len(w.w.rejected) < w.o.Batch && len(w.w.busy) < w.o.Batch
}

// poll makes the worker check everything again when PollInterval has passed.
func (w *worker) poll(now time.Time) {
	if now.Before(w.nextPoll) {
		return
	}
	w.nextPoll = now.Add(w.o.PollInterval)
	w.checkDue, w.atPoll, w.w.atEnd = true, true, false
	w.w.acked, w.w.busy = append(w.w.acked, w.w.busy...), nil
}

// idleFor returns how long there is nothing to do unless an outcome or a new entry arrives.
func (w *worker) idleFor(now time.Time) time.Duration {
	wait := min(w.nextPoll.Sub(now), w.w.keptFor(now))
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
		until(w.restUntil[k])
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
	case leasing:
		return w.hold(ctx)
	case yielding:
		return w.yield(ctx)
	case deleting:
		return w.delete(ctx, j.seqs)
	case quarantining:
		return w.quarantine(ctx, j.bad)
	}
	w.last = j.kind
	err := w.read(ctx, j)
	// After a read, other jobs have the store for three times as long. Checks take at most
	// a tenth of the time.
	w.restUntil[j.kind] = time.Now().Add(time.Duration(j.kind.restFactor()) * time.Since(start))
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

func (w *worker) setMoving(moving bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moving = moving
}

func (w *worker) quarantine(ctx context.Context, bad rejected) error {
	w.setMoving(true)
	defer w.setMoving(false) // after own has it
	err := w.store.Quarantine(ctx, bad.entry.Seq, bad.err.Error())
	if _, busy := errors.AsType[*outbox.BusyError](err); busy {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.w.rejected = append(slices.Clone(w.w.rejected[1:]), bad) // the others first
		w.restUntil[quarantining] = time.Now().Add(w.o.PollInterval / time.Duration(len(w.w.rejected)))
		return nil
	}
	if err != nil && !errors.Is(err, outbox.ErrQuarantineFull) {
		return err
	}
	w.mu.Lock()
	w.w.rejected = w.w.rejected[1:]
	now := time.Now()
	var k ClosedKey
	report := false
	if err != nil {
		w.w.unquarantined(bad, now)
		k = bad.it.lane.closedKey()
		k.Err = fmt.Errorf("%w: %w", err, bad.err)
		report = w.reports.quarantineFull(err, now)
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
	case report && o.QuarantineFull != nil:
		o.QuarantineFull(k)
	}
	return nil
}

// read reads entries, or checks whether a Flush is done.
func (w *worker) read(ctx context.Context, j job) error {
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
		if sweeping && !w.w.pass.active { // sweeps take at most 1 % of the time
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
