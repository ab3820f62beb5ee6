package outbox

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// jobKind is what the worker does with the store.
type jobKind int

const (
	idle jobKind = iota
	deleting
	quarantining
	measuring
	checking // whether a Flush is done
	reading
	ending
	jobKinds
)

// maxDelete is how many entries one Delete takes.
const maxDelete = 4096

type job struct {
	kind  jobKind
	seqs  []uint64
	bad   rejected
	from  uint64
	limit int
	wait  time.Duration // of idle
}

// worker does all reading and writing of the store, one job at a time: what is
// read is therefore always compared with what is known to be deleted.
type worker struct {
	*Relay
	pauses    [jobKinds]*backoff.ExponentialBackOff
	notBefore [jobKinds]time.Time

	nextPoll, nextSweep  time.Time
	sweepCost            time.Duration
	measureDue, checkDue bool

	high     bool
	measured bool // base is set
	base     int  // quarantined entries that were known of before
	own      int  // quarantined by the relay
}

func (r *Relay) runWorker(ctx context.Context) error {
	w := &worker{Relay: r, nextSweep: time.Now().Add(r.o.PollInterval)}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		j := w.nextJob(time.Now())
		switch j.kind {
		case ending:
			return nil
		case idle:
			timer.Reset(j.wait)
			select {
			case <-ctx.Done():
			case <-r.wakeWorker:
			case <-timer.C:
			case <-r.store.Appended():
				r.mu.Lock()
				r.w.atEnd = false
				r.mu.Unlock()
			}
			continue
		}
		err := w.do(ctx, j)
		switch {
		case err == nil:
			w.worked(j.kind)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrClosed):
			return err
		default:
			w.failed(j.kind, err)
		}
	}
	return nil
}

// nextJob is what to do now: free what is done before reading more.
func (w *worker) nextJob(now time.Time) job {
	w.mu.Lock()
	defer w.mu.Unlock()
	win, stopping := w.w, w.isStopping()
	win.releaseHeld(now)
	if stopping && win.flying == 0 && len(win.acked) == 0 && len(win.rejected) == 0 {
		return job{kind: ending}
	}
	w.poll(now)
	may := func(k jobKind) bool { return !now.Before(w.notBefore[k]) }
	awaited := (stopping || len(w.waiters) > 0) && win.flying == 0
	deleteNow := awaited || len(win.acked) >= w.o.Batch || now.Sub(win.ackedSince) >= deleteDelay
	switch {
	case len(win.rejected) > 0 && may(quarantining):
		return job{kind: quarantining, bad: win.rejected[0]}
	case len(win.acked) > 0 && deleteNow && may(deleting):
		return job{kind: deleting, seqs: win.acked[:min(len(win.acked), maxDelete)]}
	case w.measureDue && may(measuring):
		return job{kind: measuring}
	case w.checkDue && w.anyTarget() && may(checking):
		return job{kind: checking}
	case !stopping && win.room() && w.healthy() && may(reading):
		w.asked()
		return job{kind: reading, from: win.from(), limit: win.chunk}
	}
	return job{kind: idle, wait: w.idleFor(now)}
}

// healthy is false while entries cannot be deleted or quarantined: then no more
// are sent, because each would be sent again after a restart.
func (w *worker) healthy() bool {
	return w.failure[deleting] == nil && len(w.w.rejected) < w.o.Batch
}

// poll has everything looked at again when it is time.
func (w *worker) poll(now time.Time) {
	if now.Before(w.nextPoll) {
		return
	}
	w.nextPoll = now.Add(w.o.PollInterval)
	w.measureDue, w.checkDue, w.w.atEnd = true, true, false
	if !w.w.sweeping && !now.Before(w.nextSweep) {
		w.w.sweep()
		w.sweepCost = 0
	}
}

func (w *worker) idleFor(now time.Time) time.Duration {
	wait := min(w.nextPoll.Sub(now), w.w.heldUntil(now))
	if len(w.w.acked) > 0 {
		wait = min(wait, max(w.w.ackedSince.Add(deleteDelay).Sub(now), w.notBefore[deleting].Sub(now)))
	}
	for k, t := range w.notBefore {
		if d := t.Sub(now); d > 0 && jobKind(k) != deleting {
			wait = min(wait, d)
		}
	}
	return max(wait, 0)
}

func (w *worker) do(ctx context.Context, j job) error {
	switch j.kind {
	case deleting:
		return w.delete(ctx, j.seqs)
	case quarantining:
		return w.quarantine(ctx, j.bad)
	case measuring:
		return w.measure(ctx)
	case checking:
		return w.check(ctx)
	default:
		return w.read(ctx, j.from, j.limit)
	}
}

func (w *worker) delete(ctx context.Context, seqs []uint64) error {
	if err := w.store.Delete(ctx, seqs...); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, seq := range seqs {
		w.w.forget(seq)
	}
	w.w.acked = slices.Clone(w.w.acked[len(seqs):])
	w.w.ackedSince = time.Now()
	w.checkDue = true
	return nil
}

func (w *worker) quarantine(ctx context.Context, bad rejected) error {
	if err := w.store.Quarantine(ctx, bad.entry.Seq, bad.err.Error()); err != nil {
		return err
	}
	w.own++
	w.mu.Lock()
	w.w.forget(bad.entry.Seq)
	w.w.rejected = w.w.rejected[1:]
	w.checkDue = true
	w.mu.Unlock()
	if f := w.o.Observe.Quarantined; f != nil {
		f(bad.entry, bad.err)
	}
	return nil
}

func (w *worker) read(ctx context.Context, from uint64, limit int) error {
	start := time.Now()
	entries, err := w.store.Read(ctx, from, limit)
	if errors.Is(err, ErrNotHolder) { // nothing is known of what is there
		w.mu.Lock()
		w.w.atEnd = true
		w.mu.Unlock()
		return nil
	}
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.sweepCost += max(now.Sub(start), time.Duration(len(entries))*time.Microsecond)
	sweeping := w.w.sweeping
	if len(entries) == 0 {
		w.reachedEnd()
	}
	w.w.load(from, entries)
	if sweeping && !w.w.sweeping { // reading what is not sent is at most 1 % of the time
		w.nextSweep = now.Add(w.o.PollInterval + 100*w.sweepCost)
	}
	wakeUp(w.wakeSender)
	return nil
}

// measure looks at the fill of the store, and for entries that it quarantined.
func (w *worker) measure(ctx context.Context) error {
	s, err := w.store.Stats(ctx)
	if err != nil {
		return err
	}
	w.measureDue = false
	o := &w.o.Observe
	switch fill := s.Fill(); {
	case !w.high && fill >= highWater:
		w.high = true
		if o.High != nil {
			o.High(s)
		}
	case w.high && fill < lowWater:
		w.high = false
		if o.Low != nil {
			o.Low(s)
		}
	}
	n := s.Quarantined - w.own - w.base
	w.base += n
	if n > 0 && w.measured && o.Corrupt != nil {
		o.Corrupt(n)
	}
	w.measured = true
	return nil
}

func (w *worker) failed(k jobKind, err error) {
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

func newPauses(o *RelayOptions) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval: o.MinBackoff, MaxInterval: o.MaxBackoff,
		Multiplier: 2, RandomizationFactor: 0.25,
	}
}
