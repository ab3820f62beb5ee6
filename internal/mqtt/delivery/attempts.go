package delivery

import (
	"context"
	"errors"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Handler handles one message; attempt counts from 1. ctx ends at the deadline
// of the attempt, when the scheduler is closed, and when the handler has
// returned. A nil error means handled. The message must not be changed, because
// several handlers and attempts share it.
type Handler[M any] func(ctx context.Context, msg M, attempt int) error

// Attempts runs one handler under a [Policy], for one subscription. It is safe
// for concurrent use.
type Attempts[M any] struct {
	handler  Handler[M]
	policy   Policy[M]
	watchdog watchdog
}

// NewAttempts returns Attempts for handler. The error names everything that is
// invalid.
func NewAttempts[M any](handler Handler[M], policy Policy[M]) (*Attempts[M], error) {
	err := policy.validate()
	if handler == nil {
		err = errors.Join(errors.New("delivery: handler is nil"), err)
	}
	if err != nil {
		return nil, err
	}
	a := &Attempts[M]{handler: handler, policy: policy.withDefaults()}
	a.watchdog.limit = a.policy.Deadline + OverrunGrace
	return a, nil
}

// Deliver returns the task that delivers msg to the handler. It calls
// [Entry.Done] of done when the message is done for this handler: handled,
// dead-lettered, or dropped by verdict, but never because the scheduler
// stopped. A nil done means that somebody else acknowledges the message. Submit
// the task once.
func (a *Attempts[M]) Deliver(msg M, done *Entry) *Delivery[M] {
	d := new(Delivery[M])
	a.Prepare(d, msg, done)
	return d
}

// Prepare is like [Attempts.Deliver] but uses the caller's memory, so that
// message and delivery can be allocated together. d must be the zero value and
// must not be used again, because a handler may have kept its context.
func (a *Attempts[M]) Prepare(d *Delivery[M], msg M, done *Entry) {
	d.attempts, d.msg, d.done = a, msg, done
}

// Delivery is the [Task] that delivers one message to one handler. It is
// created by [Attempts.Deliver] and must not be copied. It is small, because
// there is one for each message: what only a message needs that is not handled
// at once is in repeats.
type Delivery[M any] struct {
	attempts *Attempts[M]
	msg      M
	done     *Entry
	started  time.Duration // start of the first attempt, since epoch; 0 before it
	again    *repeats      // nil for a message that is handled at once
	tries    int32         // number of attempts
	result   Result
	tried    bool // an attempt ended and was not judged yet
	judged   bool // the result is final
	gaveUp   bool // the only reason for another attempt is missing room

	first attemptContext // of the first attempt; each later one has a new context
}

// repeats is the additional state of a message whose handler failed, waits or
// leaves work to others.
type repeats struct {
	err    error // error of the last attempt
	pauses *backoff.ExponentialBackOff
	since  time.Duration // start of the first attempt that the budget counts; 0 means the first of all
	renew  bool          // the budget begins with the next attempt
	moved  bool          // failed elsewhere, perhaps together with an earlier message, and not judged since
	spared int32         // number of attempts that do not count against MaxAttempts
	failed failures      // as the breaker sees them
	rest   func() (over bool)
	looks  int         // number of looks at rest
	waits  int         // number of calls of the handler that could not begin
	asked  atomic.Bool // OnEnd has a function that it has not called yet
}

func (d *Delivery[M]) repeats() *repeats {
	if d.again == nil {
		d.again = new(repeats)
	}
	return d.again
}

// moved reports whether the message failed elsewhere and was not judged since.
func (d *Delivery[M]) moved() bool { return d.again != nil && d.again.moved }

// looked resets moved.
func (d *Delivery[M]) looked() {
	if d.again != nil {
		d.again.moved = false
	}
}

// ended records the end of an attempt.
func (d *Delivery[M]) ended(err error) {
	if d.tried = true; err != nil || d.again != nil {
		d.repeats().err = err
	}
}

// failure returns the error of the last attempt.
func (d *Delivery[M]) failure() error {
	if d.again == nil {
		return nil
	}
	return d.again.err
}

// Attempt returns the number of the last attempt, which may be running; 0 means
// that there was none.
func (d *Delivery[M]) Attempt() int { return int(d.tries) }

// outcome returns the outcome so far.
func (d *Delivery[M]) outcome() Outcome { return Outcome{d.result, int(d.tries), d.failure()} }

// Run implements [Task].
func (d *Delivery[M]) Run(ctx context.Context) (again time.Duration, done bool) {
	if f := d.attempts.policy.Observer.Arrived; f != nil && d.tries == 0 && !d.tried {
		f(d.msg)
	}
	if !d.judged {
		if held := d.attempts.policy.Held; held != nil && (d.moved() || d.tries == 0 && !d.tried) {
			switch held(d.msg) {
			case Behind:
				return d.queue(ctx)
			case Unknown:
				return d.pause(), false
			}
			d.looked()
		}
		if !d.tried {
			d.try(ctx)
		}
		d.tried = false
		if ctx.Err() != nil && d.failure() != nil {
			return 0, false // the scheduler cancelled it: not a failure of the handler
		}
		if again, d.judged = d.judge(); !d.judged {
			return again, false
		}
	}
	if r := d.result; r == Exhausted || r == Permanent || r == Parked {
		if again, done = d.store(ctx); !done {
			return again, false
		}
	} else if r := d.again; r != nil && r.rest != nil && !r.rest() {
		again = min(firstLook<<r.looks, longestLook)
		r.looks = min(r.looks+1, 10)
		return again, false
	}
	return d.finish()
}

// The pauses between looks at the remaining work of a handled message.
const (
	firstLook   = 5 * time.Millisecond
	longestLook = 200 * time.Millisecond
)

// Await delays the end of a handled message until over returns true. A handler
// that leaves work to another goroutine calls it on its own goroutine before it
// returns nil. Meanwhile the message holds no worker, its key stays paused, and
// it is not done. over is called on a worker and must not wait. If the attempt
// fails over is discarded.
func (d *Delivery[M]) Await(over func() bool) { d.repeats().rest = over }

func (d *Delivery[M]) finish() (time.Duration, bool) {
	if f := d.attempts.policy.Observer.Finished; f != nil {
		f(d.msg, d.outcome())
	}
	if d.done != nil {
		d.done.Done()
	}
	return 0, true
}

// Tried adds an attempt that was made elsewhere, for many messages at once; the
// next Run continues with its outcome. since is the [Breaker.Epoch] of its start.
// Call it before the first Run.
func (d *Delivery[M]) Tried(started time.Time, since uint32, err error) {
	d.madeElsewhere(started, err)
	d.note(since, err)
}

// madeElsewhere adds an attempt that nothing is concluded from.
func (d *Delivery[M]) madeElsewhere(started time.Time, err error) {
	d.started, d.tries = started.Sub(epoch), 1
	if d.ended(err); err != nil {
		d.repeats().moved = true
	}
	if f := d.attempts.policy.Observer.Attempted; f != nil {
		f(d.msg, 1, time.Since(started), err)
	}
}

// TriedTogether is like [Delivery.Tried] for a failure of many messages as a
// whole. The attempt counts but is not judged: the next Run tries the message
// by itself, whatever the error and however few attempts are left. The budget
// starts with that attempt, because another message may have delayed all of
// them.
func (d *Delivery[M]) TriedTogether(started time.Time, err error) {
	d.madeElsewhere(started, err)
	d.tried, d.repeats().renew = false, true
}

// Started returns the start of the first attempt, or the zero time if there was
// none.
func (d *Delivery[M]) Started() time.Time {
	if d.started == 0 {
		return time.Time{}
	}
	return epoch.Add(d.started)
}

// queue parks the message without an attempt. If that fails the message may be
// free after the pause.
func (d *Delivery[M]) queue(ctx context.Context) (again time.Duration, done bool) {
	d.result = Parked
	if again, done = d.store(ctx); !done {
		return again, false
	}
	return d.finish()
}

// try runs the handler once.
func (d *Delivery[M]) try(ctx context.Context) {
	a, began := d.attempts, now()
	c := &d.first
	if d.started == 0 {
		d.started = began
	} else {
		c = new(attemptContext)
	}
	if r := d.again; r != nil {
		r.rest = nil
		if d.tries == 0 {
			r.pauses = nil
		}
		if r.renew {
			r.since, r.renew = began, false
		}
	}
	c.begin(ctx, began+a.policy.Deadline)
	d.tries++
	since := a.policy.Breaker.Epoch()
	watched := d.watchOverrun(began, since)
	err := ErrGoexit // remains if the handler does not return
	defer func() {
		c.end()
		if d.ended(err); ctx.Err() == nil {
			d.note(since, err)
		}
		if a.watchdog.remove(watched) {
			a.policy.Breaker.Returned(since)
			if f := a.policy.Observer.Returned; f != nil {
				f(d.msg)
			}
		}
		if f := a.policy.Observer.Attempted; f != nil && !IsLater(err) {
			f(d.msg, int(d.tries), now()-began, err)
		}
	}()
	err = Guard(func() error { return a.handler(c, d.msg, int(d.tries)) })
}

// judge determines what follows the last attempt: an outcome, or another
// attempt after a pause.
func (d *Delivery[M]) judge() (again time.Duration, judged bool) {
	err, policy := d.failure(), &d.attempts.policy
	if err == nil {
		d.result = Handled
		return 0, true
	}
	if again, ok := d.later(err); ok {
		return again, false
	}
	switch policy.verdict(err) {
	case event.VerdictAcknowledge:
		d.result = Handled
		return 0, true
	case event.VerdictDrop:
		d.result = Dropped
		return 0, true
	case event.VerdictDeadLetter:
		if policy.DeadLetter != nil {
			d.result = Permanent
			d.giveUp()
			return 0, true
		}
	}
	if d.excused() {
		return 0, false
	}
	var pause time.Duration
	if !d.gaveUp {
		pause = d.pause()
	}
	if (d.gaveUp || d.exhausted(pause)) && d.exhaust() {
		return 0, true
	}
	if f := policy.Observer.Retrying; f != nil {
		f(d.msg, int(d.tries), pause, err)
	}
	return pause, false
}

// exhaust determines the result of a message whose attempts are used up. It
// returns false if the attempts continue.
func (d *Delivery[M]) exhaust() bool {
	policy := &d.attempts.policy
	switch {
	case policy.Exhausted == event.ExhaustedDrop:
		d.result = Dropped
		return true
	case policy.Exhausted == event.ExhaustedPark:
		d.result = Parked
	case policy.Exhausted == event.ExhaustedDeadLetter && policy.DeadLetter != nil:
		d.result = Exhausted
	default:
		d.repeats().pauses.MaxInterval = policy.MaxBlocked
		return false
	}
	d.giveUp()
	return true
}

// giveUp restarts the pauses, for storing the message.
func (d *Delivery[M]) giveUp() {
	if d.gaveUp {
		return
	}
	d.gaveUp, d.repeats().pauses = true, d.newPauses(d.attempts.policy.MaxBlocked)
}

// exhausted reports whether no attempt may start after the pause.
func (d *Delivery[M]) exhausted(pause time.Duration) bool {
	p, r := &d.attempts.policy, d.repeats()
	since := r.since
	switch {
	case r.renew:
		since = now()
	case since == 0:
		since = d.started
	}
	return (p.MaxAttempts > 0 && int(d.tries-r.spared) >= p.MaxAttempts) ||
		now()-since+pause >= d.limit()
}

// store passes the message to DeadLetter or Park.
func (d *Delivery[M]) store(ctx context.Context) (again time.Duration, done bool) {
	policy := &d.attempts.policy
	c := new(attemptContext)
	c.begin(ctx, now()+policy.StoreTimeout)
	defer c.end()
	store, attempts := policy.DeadLetter, int(d.tries)
	if d.result == Parked {
		store = policy.Park
		if d.again != nil {
			attempts -= int(d.again.spared) // they do not count against the bound of parking either
		}
	}
	cause := Guard(func() error { return store(c, d.msg, d.failure(), attempts) })
	if cause == nil {
		return 0, true
	}
	if ctx.Err() != nil {
		return 0, false
	}
	if d.result != Permanent && errors.Is(cause, ErrAgain) {
		d.judged = false
	}
	again = d.pause()
	if f := policy.Observer.DeadLetterFailed; f != nil {
		f(d.msg, again, cause)
	}
	return again, false
}

// pause returns the time until the next try.
func (d *Delivery[M]) pause() time.Duration {
	r := d.repeats()
	if r.pauses == nil {
		r.pauses = d.newPauses(d.attempts.policy.MaxBackoff)
	}
	return min(r.pauses.NextBackOff(), r.pauses.MaxInterval)
}

func (d *Delivery[M]) newPauses(longest time.Duration) *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{
		InitialInterval:     min(d.attempts.policy.MinBackoff, longest),
		RandomizationFactor: 0.5,
		Multiplier:          2,
		MaxInterval:         longest,
	}
}

// watchOverrun adds the attempt that started at began, in an epoch of the breaker, to the
// watchdog. It returns nil if nobody needs to know.
func (d *Delivery[M]) watchOverrun(began time.Duration, since uint32) *watch {
	if p := &d.attempts.policy; p.Observer.Overrun == nil && p.Breaker == nil {
		return nil
	}
	return d.attempts.watchdog.add(d, int(d.tries), since, began+d.attempts.policy.Deadline+OverrunGrace)
}

func (d *Delivery[M]) overrun(attempt int, since uint32) {
	d.attempts.policy.Breaker.Overdue(since)
	if f := d.attempts.policy.Observer.Overrun; f != nil {
		f(d.msg, attempt)
	}
}

// Guard calls f and returns a panic as a [*PanicError].
func Guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}
