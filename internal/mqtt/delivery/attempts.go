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
// of the attempt, when the scheduler is closed, and when the handler returned.
// A nil error means handled. The message must not be changed: several handlers
// and attempts share it.
type Handler[M any] func(ctx context.Context, msg M, attempt int) error

// Attempts runs one handler under a [Policy], for one subscription. Safe for
// concurrent use.
type Attempts[M any] struct {
	handler  Handler[M]
	policy   Policy[M]
	watchdog watchdog
}

// NewAttempts returns the runner of handler. The error names everything that is
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
	a.watchdog.limit = a.policy.Deadline
	return a, nil
}

// Deliver returns the task that delivers msg to the handler. done is told when
// the message is done for this handler: handled, dead-lettered, or dropped by
// verdict; never because the scheduler stopped. It may be nil (QoS 0). Submit
// the task once.
func (a *Attempts[M]) Deliver(msg M, done Doner) *Delivery[M] {
	d := new(Delivery[M])
	a.Prepare(d, msg, done)
	return d
}

// Prepare is [Attempts.Deliver] into memory of the caller, for one that
// allocates message and delivery together. d must be the zero value and must
// not be used again: a handler may have kept its context.
func (a *Attempts[M]) Prepare(d *Delivery[M], msg M, done Doner) {
	d.attempts, d.msg, d.done = a, msg, done
}

// Delivery is the [Task] that brings one message to one handler. Made by
// [Attempts.Deliver]; it must not be copied.
type Delivery[M any] struct {
	attempts *Attempts[M]
	msg      M
	done     Doner

	started time.Duration // of the first attempt, since epoch; 0 before it
	since   time.Duration // of the first attempt that the budget counts
	err     error         // of the last attempt
	tries   int32         // attempts
	result  Result
	tried   bool // an attempt ended and was not judged
	judged  bool // the result stands
	gaveUp  bool // no attempt is due but for want of room
	rest    func() (over bool)
	again   *repeats // nil of a message that is handled at once

	first attemptContext // of the first attempt; later ones get their own
}

// repeats is what only a message needs that is run again.
type repeats struct {
	pauses *backoff.ExponentialBackOff
	moved  bool        // failed elsewhere, perhaps together with one before it
	looks  int         // at rest
	waits  int         // calls of the handler that could not begin
	asked  atomic.Bool // an OnEnd has a function of ours that it has not called yet
}

func (d *Delivery[M]) repeats() *repeats {
	if d.again == nil {
		d.again = new(repeats)
	}
	return d.again
}

// moved reports whether the message failed elsewhere and was not looked at since.
func (d *Delivery[M]) moved() bool { return d.again != nil && d.again.moved }

// looked ends moved.
func (d *Delivery[M]) looked() {
	if d.again != nil {
		d.again.moved = false
	}
}

// outcome is how the message ended, or stands.
func (d *Delivery[M]) outcome() Outcome { return Outcome{d.result, int(d.tries), d.err} }

// Run implements [Task].
func (d *Delivery[M]) Run(ctx context.Context) (again time.Duration, done bool) {
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
		if d.err != nil && ctx.Err() != nil {
			return 0, false // we cut it off: not the handler's failure
		}
		if again, d.judged = d.judge(); !d.judged {
			return again, false
		}
	}
	if r := d.result; r == Exhausted || r == Permanent || r == Parked {
		if again, done = d.bury(ctx); !done {
			return again, false
		}
	} else if d.rest != nil && !d.rest() {
		r := d.repeats()
		again = min(firstLook<<r.looks, longestLook)
		r.looks = min(r.looks+1, 10)
		return again, false
	}
	return d.finish()
}

// The pauses between looks at what is left of a handled message.
const (
	firstLook   = 5 * time.Millisecond
	longestLook = 200 * time.Millisecond
)

// Await has a message that was handled wait until over returns true: its handler,
// which calls Await on its own goroutine before it returns nil, left something to
// do to another goroutine. Meanwhile the message holds no worker, its key stays
// paused, and it is not done. over is called on a worker and must not wait. It is
// forgotten when the attempt fails.
func (d *Delivery[M]) Await(over func() bool) { d.rest = over }

func (d *Delivery[M]) finish() (time.Duration, bool) {
	if f := d.attempts.policy.Observer.Finished; f != nil {
		f(d.msg, d.outcome())
	}
	if d.done != nil {
		d.done.Done()
	}
	return 0, true
}

// Tried takes over an attempt that was made elsewhere, for many messages at
// once: the next Run goes on with what follows from it. Call it before the first
// Run.
func (d *Delivery[M]) Tried(started time.Time, err error) {
	d.started, d.tried = started.Sub(epoch), true
	if err != nil {
		d.repeats().moved = true
	}
	d.since, d.tries, d.err = d.started, 1, err
	if f := d.attempts.policy.Observer.Attempted; f != nil {
		f(d.msg, 1, time.Since(started), err)
	}
}

// TriedTogether is [Delivery.Tried] for a failure of many messages as a whole. It
// counts, and judges none of them: the next Run tries the message by itself,
// whatever the error was and however few attempts it has. Its budget begins with
// that attempt: what held up all of them may have been another one.
func (d *Delivery[M]) TriedTogether(started time.Time, err error) {
	d.Tried(started, err)
	d.tried, d.since = false, 0
}

// Started is when the first attempt began; zero when there was none.
func (d *Delivery[M]) Started() time.Time {
	if d.started == 0 {
		return time.Time{}
	}
	return epoch.Add(d.started)
}

// queue parks the message without an attempt. When that fails it may turn out
// to be free after the pause.
func (d *Delivery[M]) queue(ctx context.Context) (again time.Duration, done bool) {
	d.result = Parked
	if again, done = d.bury(ctx); !done {
		return again, false
	}
	return d.finish()
}

// try runs the handler once.
func (d *Delivery[M]) try(ctx context.Context) {
	a, began := d.attempts, now()
	c := &d.first
	if d.tries == 0 && d.again != nil {
		d.again.pauses = nil
	}
	if d.started == 0 {
		d.started = began
	} else {
		c = new(attemptContext)
	}
	if d.since == 0 {
		d.since = began
	}
	c.begin(ctx, began+a.policy.Deadline)
	d.tries++
	d.tried, d.err = true, ErrGoexit // stands if the handler does not return
	d.rest = nil
	watched := d.watchOverrun(began)
	defer func() {
		c.end()
		a.watchdog.remove(watched)
		if f := a.policy.Observer.Attempted; f != nil && !IsLater(d.err) {
			f(d.msg, int(d.tries), now()-began, d.err)
		}
	}()
	d.err = guard(func() error { return a.handler(c, d.msg, int(d.tries)) })
}

// judge decides what follows from the last attempt: an outcome, or another
// attempt after a pause.
func (d *Delivery[M]) judge() (again time.Duration, judged bool) {
	if again, ok := d.later(); ok {
		return again, false
	}
	err, policy := d.err, &d.attempts.policy
	if err == nil {
		d.result = Handled
		return 0, true
	}
	verdict := event.Retry
	_ = guard(func() error { verdict = policy.Classify(err); return nil })
	switch verdict {
	case event.Acknowledge:
		d.result = Handled
		return 0, true
	case event.Drop:
		d.result = Dropped
		return 0, true
	case event.DeadLetter:
		if policy.DeadLetter != nil {
			d.result = Permanent
			d.giveUp()
			return 0, true
		}
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

// exhaust decides about a message whose attempts are used up; false goes on.
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

// giveUp has the pauses begin anew, for storing the message.
func (d *Delivery[M]) giveUp() {
	if d.gaveUp {
		return
	}
	d.gaveUp, d.repeats().pauses = true, d.newPauses(d.attempts.policy.MaxBlocked)
}

// exhausted reports whether no attempt may start after the pause.
func (d *Delivery[M]) exhausted(pause time.Duration) bool {
	p := &d.attempts.policy
	return (p.MaxAttempts > 0 && int(d.tries) >= p.MaxAttempts) ||
		now()-d.since+pause >= p.Budget
}

// bury hands the message to DeadLetter or Park.
func (d *Delivery[M]) bury(ctx context.Context) (again time.Duration, done bool) {
	policy := &d.attempts.policy
	c := new(attemptContext)
	c.begin(ctx, now()+policy.StoreTimeout)
	defer c.end()
	store := policy.DeadLetter
	if d.result == Parked {
		store = policy.Park
	}
	cause := guard(func() error { return store(c, d.msg, d.err, int(d.tries)) })
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

// pause returns how long to wait before the next try.
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

// watchOverrun has the attempt watched that began; nil is nobody to tell.
func (d *Delivery[M]) watchOverrun(began time.Duration) *watch {
	if d.attempts.policy.Observer.Overrun == nil {
		return nil
	}
	return d.attempts.watchdog.add(d, int(d.tries), began+d.attempts.policy.Deadline)
}

func (d *Delivery[M]) overrun(attempt int) {
	d.attempts.policy.Observer.Overrun(d.msg, attempt)
}

// Guard turns a panic in f into its error, a [*PanicError].
func Guard(f func() error) error { return guard(f) }

func guard(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}
