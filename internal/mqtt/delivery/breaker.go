package delivery

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Phase is what a [Breaker] lets pass.
type Phase uint8

// The phases.
const (
	// Closed lets everything pass.
	Closed Phase = iota
	// Open lets nothing pass.
	Open
	// HalfOpen lets one key at a time pass, until an attempt shows whether handlers work
	// again.
	HalfOpen
)

// BreakerOptions determine when a [Breaker] opens.
type BreakerOptions struct {
	// Failures is how many attempts have to fail in a row, without one that succeeds, so
	// that the breaker opens. 0 means that it never opens by itself.
	Failures int
	// Window is the time within which they have to fail.
	Window time.Duration
	// Pause is the time from opening to the next attempt.
	Pause time.Duration
	// Changed, if set, is called with each change of the status, in order. It must neither
	// block nor call the breaker.
	Changed func(BreakerStatus)
}

// BreakerStatus is a snapshot of a [Breaker].
type BreakerStatus struct {
	// Phase is what the breaker found. Paused is set while somebody has stopped it by hand,
	// which counts over the phase.
	Phase  Phase
	Paused bool
	// Since is when it opened or was paused by hand; zero if neither.
	Since time.Time
	// Failures is the number of failed attempts: in a row, since the last success. OpensAt is
	// the number of them that opens it; 0 means that it never opens by itself.
	Failures, OpensAt int
	// NextTrial is when it lets a key pass; zero unless it is open.
	NextTrial time.Time
	// Err is the last failure, or nil.
	Err error
}

// Passing reports whether everything passes.
func (s BreakerStatus) Passing() bool { return s.Phase == Closed && !s.Paused }

// Breaker stops the lanes of a subscription while no attempt can succeed, or while somebody
// wants them stopped. Their items keep their places and count against the limits of their
// schedulers, nothing of them runs, and messages that failed before get a new budget.
//
// After the first failure it lets no more attempts run at a time than are missing for it to
// open, until one succeeds. All methods are safe for concurrent use; a nil Breaker is always
// closed. Create it with [NewBreaker] and end it with [Breaker.Freeze].
type Breaker struct {
	opts    BreakerOptions
	most    atomic.Int32 // tasks at a time; negative means no limit
	passed  passed
	watched atomic.Bool // successes matter

	mu      sync.Mutex
	lanes   map[*Lane]struct{}
	status  BreakerStatus
	recent  []failure // in a row, within the window, oldest first
	turn    uint32    // number of times that a success followed failures
	timer   *time.Timer
	frozen  bool
	opened  time.Time // when it opened, whatever is done by hand
	trouble int       // failures since the last success
}

// failure is an attempt that failed.
type failure struct {
	at      time.Time
	message any
	// suspect is set if other messages succeeded after this one had failed: it may be to
	// blame itself.
	suspect bool
}

// NewBreaker returns a closed breaker without lanes.
func NewBreaker(o BreakerOptions) (*Breaker, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	b := &Breaker{opts: o, lanes: make(map[*Lane]struct{})}
	b.most.Store(unlimited)
	return b, nil
}

func (o *BreakerOptions) check() error {
	if o.Failures < 0 || o.Failures > 0 && (o.Window <= 0 || o.Pause <= 0) {
		return fmt.Errorf("delivery: a breaker of %d failures within %v and a pause of %v", o.Failures, o.Window, o.Pause)
	}
	return nil
}

// unlimited is the value of most without a limit.
const unlimited = -1

// Guard makes a lane, which has no items yet, obey the breaker.
func (b *Breaker) Guard(l *Lane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l.breaker = b
	b.lanes[l] = struct{}{}
}

// Status returns a snapshot.
func (b *Breaker) Status() BreakerStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now()
}

// now returns the status. The mutex must be held, as for all methods that do not say
// otherwise.
func (b *Breaker) now() BreakerStatus {
	s := b.status
	s.Failures, s.OpensAt = b.trouble, b.opts.Failures
	return s
}

// Waiting returns the number of items of its lanes that are not finished.
func (b *Breaker) Waiting() (n int) {
	for _, l := range b.list() {
		l.scheduler.mu.Lock()
		n += l.count
		l.scheduler.mu.Unlock()
	}
	return n
}

func (b *Breaker) list() []*Lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]*Lane, 0, len(b.lanes))
	for l := range b.lanes {
		list = append(list, l)
	}
	return list
}

// Pause stops the lanes until Resume, and reports whether they were not paused before.
func (b *Breaker) Pause() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.status.Paused {
		return false
	}
	b.stopTimer()
	b.shut()
	b.status.Paused, b.status.Since, b.status.NextTrial = true, time.Now(), time.Time{}
	b.changed()
	return true
}

// Resume ends Pause, and ends the pause of an open breaker early: it lets a key pass at once.
// It reports whether there was anything to end; a drain is not ended.
func (b *Breaker) Resume() bool {
	b.mu.Lock()
	s := &b.status
	if b.frozen || !s.Paused && s.Phase != Open {
		b.mu.Unlock()
		return false
	}
	b.stopTimer()
	if s.Paused = false; s.Phase == Closed {
		s.Since = time.Time{}
		b.most.Store(unlimited)
	} else {
		b.halfOpen()
	}
	b.changed()
	b.mu.Unlock()
	b.offer()
	return true
}

// Idle waits until no task of the lanes runs.
func (b *Breaker) Idle(ctx context.Context) error { return b.passed.wait(ctx) }

// Freeze has a stopped breaker stay stopped, for a drain: what its lanes have is left.
func (b *Breaker) Freeze() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frozen = true
	b.stopTimer()
	b.status.NextTrial = time.Time{}
}

func (b *Breaker) stopTimer() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

// shut lets nothing pass.
func (b *Breaker) shut() {
	b.most.Store(0)
	b.passed.forget()
	b.watched.Store(true)
}

// open stops the lanes for a pause.
func (b *Breaker) open() {
	now := time.Now()
	b.shut()
	if b.status.Phase == Closed {
		b.opened = now
	}
	b.recent = nil
	b.status.Phase, b.status.Since = Open, b.opened
	if !b.frozen {
		b.status.NextTrial = now.Add(b.opts.Pause)
		b.timer = time.AfterFunc(b.opts.Pause, b.try)
	}
	b.changed()
}

// try ends the pause. It locks the mutex.
func (b *Breaker) try() {
	b.mu.Lock()
	if b.frozen || b.status.Paused || b.status.Phase != Open {
		b.mu.Unlock()
		return
	}
	b.halfOpen()
	b.changed()
	b.mu.Unlock()
	b.offer()
}

// halfOpen lets one key pass, whatever passed before it opened and still runs.
func (b *Breaker) halfOpen() {
	b.status.Phase, b.status.Since, b.status.NextTrial = HalfOpen, b.opened, time.Time{}
	b.most.Store(1)
}

func (b *Breaker) changed() {
	if b.opts.Changed != nil {
		b.opts.Changed(b.now())
	}
}

// Epoch returns what [Attempts.TogetherFailed] and [Delivery.Tried] need to know of an attempt
// that begins now.
func (b *Breaker) Epoch() uint32 {
	if b == nil {
		return 0
	}
	return b.passed.epoch()
}

// stopped reports whether the breaker is not closed, and whether it was stopped at any time
// since the budget of a message began, which begins anew then.
func (b *Breaker) stopped(f *failures) (now, ever bool) {
	if b == nil {
		return false, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now = !b.status.Passing()
	epoch := b.passed.epoch()
	ever = now || f.noted && f.epoch != epoch
	f.epoch = epoch
	return now, ever
}

// succeeded takes note of an attempt that began in an epoch. It locks the mutex.
func (b *Breaker) succeeded(epoch uint32) {
	if b == nil || !b.watched.Load() {
		return
	}
	b.mu.Lock()
	if b.late(epoch) {
		b.mu.Unlock()
		return
	}
	halfOpen := b.status.Phase == HalfOpen
	b.turn++
	b.recent = nil
	b.most.Store(unlimited)
	b.watched.Store(false)
	b.status.Phase, b.status.Since = Closed, time.Time{}
	if halfOpen {
		b.changed()
	}
	b.trouble, b.status.Err = 0, nil
	b.mu.Unlock()
	b.offer()
}

// late reports whether the outcome of an attempt says nothing about now, because it began
// before the breaker was stopped.
func (b *Breaker) late(epoch uint32) bool {
	return epoch != b.passed.epoch() || b.status.Phase == Open || b.status.Paused
}

// failed takes note of an attempt at a message. first is the value that the first failure of
// the message returned, and 0 for that one. It locks the mutex.
func (b *Breaker) failed(epoch uint32, message any, first uint32, err error) uint32 {
	if b == nil {
		return first
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.opts.Failures == 0 {
		return first
	}
	if first == 0 {
		first = b.turn + 1
	}
	if b.late(epoch) {
		return first
	}
	b.trouble++
	b.status.Err = err
	if b.status.Phase == HalfOpen {
		b.open()
		return first
	}
	b.watched.Store(true)
	b.add(failure{time.Now(), message, first != b.turn+1})
	if b.enough() {
		b.open()
	}
	return first
}

// unsure reports whether a message may have failed because of an outage: nothing succeeded
// since its first failure, for which failed returned first. It locks the mutex.
func (b *Breaker) unsure(first uint32) bool {
	if b == nil || b.opts.Failures == 0 {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return first == b.turn+1
}

// add remembers a failure, and bounds the attempts that run at a time by those that are
// missing.
func (b *Breaker) add(f failure) {
	n := 0
	for n < len(b.recent) && f.at.Sub(b.recent[n].at) > b.opts.Window {
		n++
	}
	b.recent = append(b.recent[n:], f)
	if n := len(b.recent) - b.opts.Failures; n > 0 {
		b.recent = b.recent[n:]
	}
	missing := b.opts.Failures
	for _, f := range b.recent {
		if !f.suspect {
			missing--
		}
	}
	b.most.Store(int32(max(1, missing)))
}

// enough reports whether the breaker has to open. A single message that failed while others
// succeeded never suffices: it is to blame itself.
func (b *Breaker) enough() bool {
	if len(b.recent) < b.opts.Failures {
		return false
	}
	for _, f := range b.recent {
		if !f.suspect || f.message != b.recent[0].message {
			return true
		}
	}
	return false
}

// enter reports whether a task may run, and counts it until exit, which needs the epoch. The
// mutex of a scheduler is held, as for the methods below.
func (b *Breaker) enter() (epoch uint32, may bool) {
	if b == nil {
		return 0, true
	}
	return b.passed.enter(&b.most)
}

// exit ends enter.
func (b *Breaker) exit(epoch uint32) {
	if b != nil {
		b.passed.exit(epoch)
	}
}

// full reports whether no task may start now.
func (b *Breaker) full() bool { return b != nil && b.passed.full(b.most.Load()) }

// stands reports whether nothing passes.
func (b *Breaker) stands() bool { return b != nil && b.most.Load() == 0 }

// limited reports whether some tasks pass, so that the end of one lets another one start.
func (b *Breaker) limited() bool { return b != nil && b.most.Load() > 0 }

// offer has workers look at the lanes again. No mutex may be held.
func (b *Breaker) offer() {
	for _, l := range b.list() {
		l.wake()
	}
}
