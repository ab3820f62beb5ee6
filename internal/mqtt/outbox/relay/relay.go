package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// SendFunc sends one entry. It is called by one goroutine, in order, and need not wait for
// the broker: done is called once with the outcome, from any goroutine; the outcome is nil
// only when the broker has acknowledged the message. When SendFunc itself returns an
// error, that is the outcome and done is not called. It may block, within ctx, while there
// is no connection or no room; ctx ends when the relay does. The entry belongs to the
// relay and must not be changed.
type SendFunc func(ctx context.Context, e *outbox.Entry, done func(error)) error

// Options configure a [Relay]. The zero value is ready to use.
type Options struct {
	// KeepAcknowledged is how long entries stay in the store after their acknowledgement,
	// to be sent again by [Relay.ConnectionLost]: about twice the time that a broker takes
	// to save what it acknowledged. It must be well below the mean time between connection
	// losses. Default 0: acknowledged entries are deleted at once.
	KeepAcknowledged time.Duration
	// Batch is the maximum number of entries in flight, and a quarter of the maximum
	// number in memory. Default 256.
	Batch int
	// MaxBytes bounds the entries kept in memory, in bytes; one read may exceed it.
	// Default 32 MiB.
	MaxBytes int64
	// PollInterval is how often the store is read without a hint that it has new entries,
	// and how often its size is measured. Default 1 s.
	PollInterval time.Duration
	// MinBackoff and MaxBackoff bound the growing pauses, with jitter, before
	// an entry is sent again and before a failed store is used again. Defaults
	// 100 ms and 5 s.
	MinBackoff, MaxBackoff time.Duration
	// Permanent reports whether an entry that failed with this error can never be sent.
	// Such an entry is quarantined instead of sent again. Default: no error is permanent.
	Permanent func(error) bool
	// Refused reports whether a failure that is not Permanent is the broker's refusal of
	// that entry, and for how long the entry is tried again. Default: no failure is a
	// refusal, and an entry that fails is tried without end.
	Refused func(error) (Refusal, bool)
	// Awaited reports whether a failure that is neither Permanent nor Refused lasts until
	// somebody else acts, for example subscribes. Flush does not wait for such entries.
	// Default: false for every failure.
	Awaited func(error) bool
	// Unanswered reports whether a failure that is neither Permanent nor Refused is a
	// missing acknowledgement, which occupies a place in the connection's window until the
	// sender gives up. Two of such keys are tried at a time, with pauses that grow from 1 s
	// to 30 s until one is acknowledged, and Flush does not wait for them. Default: false
	// for every failure.
	Unanswered func(error) bool
	// Observe receives the events that an operator needs to know.
	Observe Observe
}

// Observe has functions that a [Relay] calls after an event, one call at a time. A nil
// function is not called. They must return soon.
type Observe struct {
	// Quarantined receives each entry that can never be sent, and the reason.
	Quarantined func(e *outbox.Entry, err error)
	// Corrupt receives the number of entries that the store quarantined itself because
	// they could not be decoded.
	Corrupt func(n int)
	// Refused receives a key that a refusal closed, or keeps closed: at most once a minute
	// for each [Refusal.Reason].
	Refused func(k ClosedKey)
	// Unanswered receives a key that a missing acknowledgement closed, or keeps closed: at
	// most once a minute.
	Unanswered func(k ClosedKey)
	// QuarantineFull receives the key of an entry that could not be quarantined, because
	// the quarantine is full or the key has used up its share. The entry stays in the
	// store, its key stays closed, and it is tried again after long pauses. The Err of the
	// key wraps [outbox.ErrQuarantineFull] or [outbox.ErrQuarantineShare], and the reason
	// why the entry cannot be sent. Each of the two is reported at most once a minute.
	QuarantineFull func(k ClosedKey)
	// Taken is called when the relay stands by because another relay of this process uses
	// the store: once, until this relay has the store itself.
	Taken func()
	// Failed is called when the store fails: once, until Works is called because it works
	// again.
	Failed func(err error)
	Works  func()
	// High is called when the store is 80 % full: once, until Low is called because it
	// fell below 70 %.
	High, Low func(s outbox.Stats)
}

const (
	highWater = 0.8
	lowWater  = 0.7
	// deleteDelay is how long an acknowledged entry waits for others, so that their deletes
	// share one transaction.
	deleteDelay = 20 * time.Millisecond
	// lastDelete bounds the time that a relay spends on deleting acknowledged entries when
	// it ends.
	lastDelete = 2 * time.Second
)

// ErrStopped is the error of Flush and Run when the relay has ended.
var ErrStopped = errors.New("outbox: relay stopped")

// Relay sends the entries of an [outbox.Store] and deletes those that were acknowledged.
//
// Up to Batch entries are in flight. Entries of one key are sent in order of Seq. When one
// fails, no later entry of its key is sent until it was acknowledged; entries of the key
// that were in flight at the time and failed as well are then sent one at a time. Other
// keys are not affected. An entry is deleted only after its acknowledgement: after a crash
// it is sent again with the same id, and not lost.
//
// Memory is bounded: at most 4 x Batch entries and about MaxBytes, however many entries the
// store has. With KeepAcknowledged, each kept entry takes some 100 bytes more. A key that
// waits because its first entry failed takes a few hundred bytes and no room of other keys;
// beyond 250,000 such keys, no new entries are read until some were sent. Their first
// entries are tried again at the end of their pauses, up to a quarter of Batch at a time
// and, as long as they fail, 100 per second; two at a time if the failure is a missing
// acknowledgement.
//
// The store is measured on a goroutine of its own, for at most a tenth of the time and at
// most 10 s each time.
//
// When several relays of this process use one store, one sends at a time; see
// [outbox.Claimer]. When several processes share the store, one relays at a time. It checks
// before each send that it still has the lease, and drops the entries it has read if it
// does not. It yields to another relay when it could not send for the duration of the
// lease: because its connection is down, the send function does not return, or no outcome
// arrives.
//
// All methods are safe for concurrent use.
type Relay struct {
	store outbox.Store
	send  SendFunc
	o     Options

	wakeSender chan struct{}
	wakeWorker chan struct{}
	stopping   chan struct{} // closed by Stop
	done       chan struct{} // closed when Run returned

	// Of the goroutine of Run:
	release       func() // releases the claim of the store; nil without a claim
	reportedTaken bool   // that another relay has the store was reported

	mu       sync.Mutex
	cancel   context.CancelFunc // of Run
	ended    bool
	stopOnce bool
	w        *window
	waiters  []*waiter
	checkDue bool // the waiting Flush calls are to be checked
	failure  [jobKinds]error
	counts   counts
	lease    lease
	own      int       // entries that this relay quarantined
	moving   bool      // an entry is on its way to the quarantine, and not in own yet
	measured *measured // the last measurement, until it is processed
	refusal  ClosedKey // the last refusal
	reports  reports
	sweepNow bool // read the store again from the start
	atPoll   bool // PollInterval has passed: check everything
}

type counts struct{ sent, failed, resent uint64 }

// New returns a relay that sends the entries of store with send. It does nothing before
// Run. It reports all problems of the options at once.
func New(store outbox.Store, send SendFunc, o Options) (*Relay, error) {
	var errs []error
	if store == nil {
		errs = append(errs, errors.New("outbox: relay: the store is nil, want one to read from"))
	}
	if send == nil {
		errs = append(errs, errors.New("outbox: relay: the send function is nil, want one that publishes"))
	}
	if min(int64(o.Batch), o.MaxBytes) < 0 {
		errs = append(errs, fmt.Errorf("outbox: relay: Batch is %d and MaxBytes is %d, want 0 (the default) or more of each", o.Batch, o.MaxBytes))
	}
	if min(o.KeepAcknowledged, o.PollInterval, o.MinBackoff, o.MaxBackoff) < 0 {
		errs = append(errs, fmt.Errorf("outbox: relay: KeepAcknowledged is %v, PollInterval %v, MinBackoff %v, MaxBackoff %v, want 0s (the default) or more of each",
			o.KeepAcknowledged, o.PollInterval, o.MinBackoff, o.MaxBackoff))
	}
	o = o.withDefaults()
	if o.MinBackoff > o.MaxBackoff {
		errs = append(errs, fmt.Errorf("outbox: relay: MinBackoff is %v, want at most the MaxBackoff of %v", o.MinBackoff, o.MaxBackoff))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Relay{
		store: store, send: send, o: o, w: newWindow(o),
		wakeSender: make(chan struct{}, 1), wakeWorker: make(chan struct{}, 1),
		stopping: make(chan struct{}), done: make(chan struct{}),
	}, nil
}

func (o Options) withDefaults() Options {
	if o.Batch == 0 {
		o.Batch = 256
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 32 << 20
	}
	if o.PollInterval == 0 {
		o.PollInterval = time.Second
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = max(5*time.Second, o.MinBackoff)
	}
	if o.MinBackoff == 0 {
		o.MinBackoff = min(100*time.Millisecond, o.MaxBackoff)
	}
	if o.Refused == nil {
		o.Refused = func(error) (Refusal, bool) { return Refusal{}, false }
	}
	if o.Awaited == nil {
		o.Awaited = func(error) bool { return false }
	}
	if o.Unanswered == nil {
		o.Unanswered = func(error) bool { return false }
	}
	if o.Permanent == nil {
		o.Permanent = func(error) bool { return false }
	}
	return o
}

// Run sends until ctx ends or Stop is done, and then returns nil, or until the store is
// closed, and then returns [outbox.ErrClosed]. It leaves no goroutine behind. A relay runs
// only once.
//
// When ctx ends, Run does not wait for outcomes in flight: the next relay sends those
// entries again. Stop waits.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := r.begin(cancel); err != nil {
		return err
	}
	var sender sync.WaitGroup
	sender.Go(func() { r.runSender(ctx) })
	sender.Go(func() { r.runMeasurer(ctx) })
	err := r.runWorker(ctx)
	cancel()
	sender.Wait()
	err = errors.Join(err, r.finish(ctx))
	r.unclaim()
	close(r.done)
	return err
}

func (r *Relay) begin(cancel context.CancelFunc) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return ErrStopped
	}
	if r.cancel != nil {
		return errors.New("outbox: relay runs already")
	}
	r.cancel = cancel
	return nil
}

// finish deletes the entries that were acknowledged and not yet deleted, because the next
// relay would send them again. That is allowed, so a failure is only reported; a closed
// store is not, because the worker has returned that error already.
func (r *Relay) finish(ctx context.Context) error {
	r.mu.Lock()
	r.ended = true
	seqs := append(r.w.acked, r.w.busy...)
	r.lease.end()
	r.mu.Unlock()
	if len(seqs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastDelete)
	defer cancel()
	err := r.store.Delete(ctx, seqs...)
	if e, ok := errors.AsType[*outbox.BusyError](err); ok {
		seqs = e.Seqs
	}
	if err != nil && !errors.Is(err, outbox.ErrClosed) {
		return fmt.Errorf("outbox: %d acknowledged entries were not deleted and will be sent again: %w", len(seqs), err)
	}
	return nil
}

// Stop stops sending, waits for the outcomes in flight, deletes acknowledged entries and
// ends Run. When ctx ends first, Run is ended anyway and the error has the number of
// unknown outcomes; those entries stay in the store. Stop before Run keeps Run from
// starting.
func (r *Relay) Stop(ctx context.Context) error {
	r.mu.Lock()
	if !r.stopOnce {
		r.stopOnce = true
		close(r.stopping)
	}
	running := r.cancel != nil
	if !running {
		r.ended = true
	}
	r.mu.Unlock()
	if !running {
		return nil
	}
	r.wake()
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
	}
	r.mu.Lock()
	left := r.w.inFlight
	r.mu.Unlock()
	r.cancel()
	<-r.done
	return fmt.Errorf("outbox: stopped with %d entries in flight: %w", left, ctx.Err())
}

// ConnectionLost reports that the connection to the broker was lost. Entries that were
// acknowledged within KeepAcknowledged are sent again, in order and with the same id, each
// at most once. Without KeepAcknowledged nothing is sent again.
func (r *Relay) ConnectionLost() {
	r.mu.Lock()
	now := time.Now()
	if r.lease.downSince.IsZero() {
		r.lease.downSince = now
	}
	r.counts.resent += uint64(r.w.connectionLost(now))
	r.mu.Unlock()
	r.wake()
}

// ConnectionUp reports that the connection is up again: entries that wait for the end of
// their pause are sent now.
func (r *Relay) ConnectionUp() {
	r.mu.Lock()
	r.lease.downSince = time.Time{}
	r.w.retryNow(time.Now())
	r.mu.Unlock()
	r.wake()
}

func (r *Relay) wake() {
	wakeUp(r.wakeSender)
	wakeUp(r.wakeWorker)
}

func wakeUp(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *Relay) isStopping() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

// claim claims the store for this relay, and reports whether it succeeded.
func (r *Relay) claim() bool {
	if r.release != nil {
		return true
	}
	c, ok := r.store.(outbox.Claimer)
	if !ok {
		r.release = func() {}
		return true
	}
	if r.release, ok = c.Claim(); !ok && !r.reportedTaken && r.o.Observe.Taken != nil {
		r.o.Observe.Taken()
	}
	r.reportedTaken = !ok
	return ok
}

// unclaim releases the store for other relays of this process.
func (r *Relay) unclaim() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
}

func (r *Relay) runWorker(ctx context.Context) error {
	w := &worker{Relay: r, life: ctx, nextSweep: time.Now().Add(r.o.PollInterval)}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		if err := w.report(); err != nil {
			return err
		}
		j := w.nextJob(time.Now())
		switch j.kind {
		case ending:
			return nil
		case idle:
			timer.Reset(j.wait)
			appended := r.store.Appended()
			if j.ignoreAppended {
				appended = nil
			}
			select {
			case <-ctx.Done():
			case <-r.wakeWorker:
			case <-timer.C:
			case <-appended:
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
		case errors.Is(err, outbox.ErrClosed):
			return err
		default:
			w.failed(j.kind, err)
		}
	}
	return nil
}
