package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Hold is the result of Held: whether a message may be handled now.
type Hold int

// The results of Held.
const (
	// Free means that the handler may run.
	Free Hold = iota
	// Behind means that an earlier message of the key is parked, so that this
	// one is parked, too.
	Behind
	// Unknown means that Held is called again after a pause.
	Unknown
)

// ErrAgain can be wrapped by an error of DeadLetter or Park. If the attempts
// were used up it makes the handler run again after the pause: a store that is
// full or unavailable cannot predict how long, and the handler may succeed by
// then.
var ErrAgain = errors.New("handle again")

// Defaults of [Policy].
const (
	DefaultDeadline   = 30 * time.Second
	DefaultBudget     = 5 * time.Second
	DefaultMinBackoff = 100 * time.Millisecond
	DefaultMaxBackoff = 5 * time.Second
	DefaultMaxBlocked = 30 * time.Second
)

// OverrunGrace is how long after its deadline an attempt may return until it counts as one that
// ignores its context: it may have a connection to close.
const OverrunGrace = 250 * time.Millisecond

// Policy determines how the handler of one subscription is run. Zero values
// mean the defaults; negative values are errors. The functions are called on
// workers, concurrently for messages of different keys.
type Policy[M any] struct {
	// Deadline limits one attempt; the default is [DefaultDeadline]. A handler
	// that ignores its context keeps its worker, and its key waits: no second
	// attempt starts until the first has returned.
	Deadline time.Duration
	// Budget is the time after the start of the first attempt within which
	// another attempt may start; the default is [DefaultBudget].
	// Acknowledgements of newer messages wait meanwhile.
	Budget time.Duration
	// MaxAttempts is the maximum number of attempts. 0 means that only Budget
	// limits them, 1 means no retry.
	MaxAttempts int
	// MinBackoff is the first pause between attempts; the default is
	// [DefaultMinBackoff]. Pauses double up to MaxBackoff, and each is varied
	// by half of itself.
	MinBackoff time.Duration
	// MaxBackoff is the longest pause within Budget; the default is
	// [DefaultMaxBackoff].
	MaxBackoff time.Duration
	// MaxBlocked is the longest pause after Budget; the default is MaxBackoff
	// if that is set, and otherwise [DefaultMaxBlocked].
	MaxBlocked time.Duration
	// Classify returns the verdict on an error of the handler. Nil means
	// [event.VerdictRetry] for all errors, and so does a panic in Classify.
	Classify func(error) event.Verdict
	// StoreTimeout limits one call of DeadLetter or Park; the default is
	// [DefaultDeadline].
	StoreTimeout time.Duration
	// DeadLetter stores a message that is given up, with the last error and the
	// number of attempts. ctx ends after StoreTimeout. The message is
	// acknowledged only after it returns nil. Otherwise it is called again,
	// without limit, after pauses up to MaxBlocked; the key and the
	// acknowledgements of newer messages wait. If DeadLetter is nil no message
	// is given up: the handler is retried without limit in the same way.
	DeadLetter func(ctx context.Context, msg M, err error, attempts int) error
	// Exhausted determines what follows the last attempt; the zero value is
	// [event.ExhaustedDeadLetter].
	Exhausted event.Exhausted
	// Park stores a message that is handled later elsewhere, in the same way as
	// DeadLetter. err is nil and attempts 0 if the message only has to wait for
	// others. It is required for event.ExhaustedPark and Held.
	Park func(ctx context.Context, msg M, err error, attempts int) error
	// Held is called before the first attempt, and again after each pause. Nil
	// means Free.
	Held func(msg M) Hold
	// Waker returns a function that immediately runs the task of a message
	// whose handler could not begin, see [LaterError]. If Waker or its result
	// is nil, the task runs again after pauses.
	Waker func(msg M) (wake func())
	// Breaker, if set, learns the outcomes of attempts. The lane of the messages
	// should be guarded by it. While it is not closed, nothing is given up.
	Breaker *Breaker
	// Idle, if set, reports whether the last attempt succeeded without calling the
	// handler, which says nothing about whether handlers work.
	Idle func(msg M) bool
	// Observer has hooks for the events of a message.
	Observer Observer[M]
}

// verdict returns the verdict on an error.
func (p *Policy[M]) verdict(err error) (v event.Verdict) {
	v = event.VerdictRetry
	_ = Guard(func() error { v = p.Classify(err); return nil })
	return v
}

// Observer has hooks, each of which may be nil. They are called on the worker
// (Overrun on a timer), and except for Overrun never concurrently for one
// message. They must neither block nor panic.
type Observer[M any] struct {
	// Arrived is called before the first attempt, and before Held is asked. It may be called
	// again while no attempt was made. It is not called for a message whose first attempt was
	// made elsewhere.
	Arrived func(msg M)
	// Attempted is called after each attempt of the handler.
	Attempted func(msg M, attempt int, took time.Duration, err error)
	// Overrun is called when an attempt passed its deadline, by
	// [OverrunGrace], and has not returned: it holds a worker, and
	// acknowledgements wait.
	Overrun func(msg M, attempt int)
	// Returned is called when such an attempt has returned, perhaps before its
	// Overrun.
	Returned func(msg M)
	// Retrying is called when another attempt follows after a pause.
	Retrying func(msg M, attempts int, after time.Duration, err error)
	// Finished is called once per message, before it is acknowledged.
	Finished func(msg M, outcome Outcome)
	// DeadLetterFailed is called when DeadLetter or Park returned cause; the
	// call is repeated after a pause.
	DeadLetterFailed func(msg M, after time.Duration, cause error)
}

// Result is the kind of an [Outcome].
type Result uint8

// The results of a delivery.
const (
	// Handled means that the handler returned nil, or an error with verdict
	// Acknowledge.
	Handled Result = iota
	// Exhausted means a dead letter after the last attempt that the budget
	// allowed.
	Exhausted
	// Permanent means a dead letter because of the verdict.
	Permanent
	// Dropped means that the message was acknowledged unhandled because of the
	// verdict, or because its attempts were used up.
	Dropped
	// Parked means that the message is handled later elsewhere.
	Parked
)

// String returns the result in lower case, suitable as a metric label.
func (r Result) String() string {
	switch r {
	case Handled:
		return "handled"
	case Exhausted:
		return "exhausted"
	case Permanent:
		return "permanent"
	case Dropped:
		return "dropped"
	case Parked:
		return "parked"
	}
	return fmt.Sprintf("result(%d)", int(r))
}

// Outcome is how a message ended for one handler.
type Outcome struct {
	// Result is the kind of the outcome.
	Result Result
	// Attempts is the number of times that the handler ran.
	Attempts int
	// Err is the handler's last error, or nil if it succeeded.
	Err error
}

func (p Policy[M]) validate() error {
	var errs []error
	check := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf("delivery: "+format, args...))
		}
	}
	check(p.Deadline < 0, "Deadline is negative: %v", p.Deadline)
	check(p.Budget < 0, "Budget is negative: %v", p.Budget)
	check(p.MaxAttempts < 0, "MaxAttempts is negative: %d", p.MaxAttempts)
	check(p.MinBackoff < 0, "MinBackoff is negative: %v", p.MinBackoff)
	check(p.MaxBackoff < 0, "MaxBackoff is negative: %v", p.MaxBackoff)
	check(p.StoreTimeout < 0, "StoreTimeout is negative: %v", p.StoreTimeout)
	check(p.MaxBlocked < 0, "MaxBlocked is negative: %v", p.MaxBlocked)
	check(p.Park == nil && (p.Exhausted == event.ExhaustedPark || p.Held != nil), "Park is nil")
	d := p.withDefaults()
	check(d.MinBackoff > d.MaxBackoff, "MinBackoff %v is above MaxBackoff %v", d.MinBackoff, d.MaxBackoff)
	return errors.Join(errs...)
}

func (p Policy[M]) withDefaults() Policy[M] {
	setDefault(&p.Deadline, DefaultDeadline)
	setDefault(&p.Budget, DefaultBudget)
	setDefault(&p.StoreTimeout, DefaultDeadline)
	if p.MaxBackoff > 0 {
		setDefault(&p.MinBackoff, min(DefaultMinBackoff, p.MaxBackoff))
		setDefault(&p.MaxBlocked, p.MaxBackoff)
	}
	setDefault(&p.MinBackoff, DefaultMinBackoff)
	setDefault(&p.MaxBlocked, max(DefaultMaxBlocked, p.MinBackoff))
	setDefault(&p.MaxBackoff, max(DefaultMaxBackoff, p.MinBackoff))
	if p.Exhausted == "" {
		p.Exhausted = event.ExhaustedDeadLetter
	}
	if p.Classify == nil {
		p.Classify = func(error) event.Verdict { return event.VerdictRetry }
	}
	return p
}
