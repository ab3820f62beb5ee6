package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Hold reports whether a message may be handled now.
type Hold int

// The holds.
const (
	// Free lets the handler run.
	Free Hold = iota
	// Behind parks the message at once: an earlier one of its key is parked.
	Behind
	// Unknown asks again after a pause.
	Unknown
)

// ErrAgain has the handler run again after the pause, if its attempts were used
// up, when an error of DeadLetter or Park wraps it: a store that has no room for
// the message, or is away, cannot tell for how long, and what made the handler
// fail may be over by then.
var ErrAgain = errors.New("handle again")

// Defaults of [Policy].
const (
	DefaultDeadline   = 30 * time.Second
	DefaultBudget     = 5 * time.Second
	DefaultMinBackoff = 100 * time.Millisecond
	DefaultMaxBackoff = 5 * time.Second
	DefaultMaxBlocked = 30 * time.Second
)

// Policy says how one subscription's handler is run. Zero values mean the
// defaults; negative ones are errors. The functions are called on workers,
// concurrently for messages of different keys.
type Policy[M any] struct {
	// Deadline bounds one attempt, [DefaultDeadline]. A handler that ignores
	// its context keeps its worker, and its key waits: there is no second
	// attempt until the first returned.
	Deadline time.Duration
	// Budget bounds the time from the start of the first attempt within which a
	// further attempt may start, [DefaultBudget]: acknowledgements of newer
	// messages wait for this one.
	Budget time.Duration
	// MaxAttempts is the highest number of attempts; 0 leaves it to Budget, 1
	// is no retry.
	MaxAttempts int
	// MinBackoff is the first pause between attempts, [DefaultMinBackoff]. It
	// doubles up to MaxBackoff; each pause is varied by half of itself.
	MinBackoff time.Duration
	// MaxBackoff is the longest pause within Budget, [DefaultMaxBackoff].
	MaxBackoff time.Duration
	// MaxBlocked is the longest pause after that: MaxBackoff when that is set,
	// else [DefaultMaxBlocked].
	MaxBlocked time.Duration
	// Classify decides about an error of the handler; nil is [event.Retry] for all. A
	// panic in it is taken as Retry.
	Classify func(error) event.Verdict
	// StoreTimeout bounds one call of DeadLetter or Park, [DefaultDeadline].
	StoreTimeout time.Duration
	// DeadLetter stores a message that is given up, with the last error and the
	// number of attempts; ctx ends after StoreTimeout. Only when it returns nil is
	// the message acknowledged. Else it is called again, without an end, after
	// pauses up to MaxBlocked; the key waits and the acknowledgements behind it
	// too. With a nil DeadLetter nothing is given up: the handler is retried
	// without an end in the same way.
	DeadLetter func(ctx context.Context, msg M, err error, attempts int) error
	// Exhausted is what follows the last attempt, the zero value is [event.ExhaustedDeadLetter].
	Exhausted event.Exhausted
	// Park stores a message that is handled again later by somebody else, as
	// DeadLetter does; err is nil and attempts 0 when it only has to wait for
	// others. Required for event.ExhaustedPark and Held.
	Park func(ctx context.Context, msg M, err error, attempts int) error
	// Held is asked before the first attempt, after each pause again; nil is
	// Free.
	Held func(msg M) Hold
	// Waker returns what has the task of a message run now, when its handler could
	// not begin: see [LaterError]. Nil, and a nil result, leave it to pauses.
	Waker func(msg M) (wake func())
	// Observer is told what happens.
	Observer Observer[M]
}

// Observer holds hooks, each of which may be nil. They are called on the worker
// (Overrun on a timer), for one message never concurrently except Overrun. They
// must neither block nor panic.
type Observer[M any] struct {
	// Attempted is called after each attempt of the handler.
	Attempted func(msg M, attempt int, took time.Duration, err error)
	// Overrun is called when the attempt passed its deadline and did not
	// return: a worker is held, and acknowledgements wait.
	Overrun func(msg M, attempt int)
	// Retrying is called when another attempt follows after a pause.
	Retrying func(msg M, attempts int, after time.Duration, err error)
	// Finished is called once per message, before it is acknowledged.
	Finished func(msg M, outcome Outcome)
	// DeadLetterFailed is called when DeadLetter or Park returned cause; it is
	// tried again after a pause.
	DeadLetterFailed func(msg M, after time.Duration, cause error)
}

// Result is the kind of an [Outcome].
type Result uint8

// The results.
const (
	// Handled is a handler that returned nil, or an error with verdict Acknowledge.
	Handled Result = iota
	// Exhausted is a dead letter after the last attempt the budget allowed.
	Exhausted
	// Permanent is a dead letter because of its verdict.
	Permanent
	// Dropped is a message that was acknowledged unhandled by verdict, or
	// because its attempts were used up.
	Dropped
	// Parked is a message that somebody else handles later.
	Parked
)

// String returns the result in lower case, fit for a metric label.
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
	// Result is the kind.
	Result Result
	// Attempts is how often the handler ran.
	Attempts int
	// Err is the handler's last error, nil if that was none.
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
		p.Classify = func(error) event.Verdict { return event.Retry }
	}
	return p
}
