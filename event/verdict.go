package event

import "errors"

// Verdict says what becomes of a message whose handler returned an error. Its
// text is the value of a setting.
type Verdict string

// The verdicts.
const (
	// Retry runs the handler again within the budget, and after that as
	// [Exhausted] says.
	Retry Verdict = "retry"
	// DeadLetter gives up at once, for what no retry helps.
	DeadLetter Verdict = "dead_letter"
	// Drop acknowledges the message, which is counted as discarded and logged.
	Drop Verdict = "drop"
	// Acknowledge takes the message as handled.
	Acknowledge Verdict = "acknowledge"
)

// Exhausted says what becomes of a message whose attempts are used up. Its
// text is the value of a setting.
type Exhausted string

// What may follow the last attempt.
const (
	// ExhaustedPark keeps the message in the durable store, acknowledges it,
	// and goes on trying in the background; what arrives for its key waits
	// behind it there. It is for where order matters more than progress, and
	// needs a store that parks and a client id.
	ExhaustedPark Exhausted = "park"
	// ExhaustedDeadLetter dead-letters it. The default.
	ExhaustedDeadLetter Exhausted = "dead_letter"
	// ExhaustedBlock goes on trying and acknowledges nothing, so that soon
	// nothing more arrives either.
	ExhaustedBlock Exhausted = "block"
	// ExhaustedDrop acknowledges the message, which is counted as discarded and
	// logged.
	ExhaustedDrop Exhausted = "drop"
)

// Unmatched says what becomes of a QoS 1 or 2 message that no subscription matches
// and that has waited for one long enough. Its text is the value of a setting.
type Unmatched string

// What may become of it.
const (
	// UnmatchedDeadLetter makes it a dead letter with the reason "no
	// subscription", which can be replayed. The default.
	UnmatchedDeadLetter Unmatched = "dead_letter"
	// UnmatchedDrop acknowledges it, counted.
	UnmatchedDrop Unmatched = "drop"
)

// judged is an error with its verdict.
type judged struct {
	error
	verdict Verdict
}

func (j *judged) Unwrap() error { return j.error }

// WithVerdict says what becomes of a message whose handler returns err, over
// every rule; nil stays nil. The outermost verdict of a chain counts.
func WithVerdict(err error, v Verdict) error {
	if err == nil {
		return nil
	}
	return &judged{err, v}
}

// Permanent dead-letters a message at once: no retry helps. nil stays nil.
func Permanent(err error) error { return WithVerdict(err, DeadLetter) }

// VerdictOf finds the verdict in an error, also through wrapping.
func VerdictOf(err error) (Verdict, bool) {
	if j, ok := errors.AsType[*judged](err); ok {
		return j.verdict, true
	}
	return "", false
}
