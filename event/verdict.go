package event

import "errors"

// Verdict is what happens to a message whose handler returned an error. Its text is the value
// of a setting.
type Verdict string

// The verdicts.
const (
	// VerdictRetry runs the handler again until its attempts or time are used up; then [Exhausted]
	// applies.
	VerdictRetry Verdict = "retry"
	// VerdictDeadLetter dead-letters the message at once, for errors that a retry cannot fix.
	VerdictDeadLetter Verdict = "dead_letter"
	// VerdictDrop acknowledges the message, counts it as discarded and logs it.
	VerdictDrop Verdict = "drop"
	// VerdictAcknowledge treats the message as handled.
	VerdictAcknowledge Verdict = "acknowledge"
)

// Exhausted is what happens to a message whose attempts are used up. Its text is the value of
// a setting.
type Exhausted string

// The values of Exhausted.
const (
	// ExhaustedPark stores the message in the durable store, acknowledges it, and retries it
	// in the background. Later messages with its key are stored behind it and wait. Use it
	// where order matters more than progress. It needs a store that supports parking, and a
	// client id.
	ExhaustedPark Exhausted = "park"
	// ExhaustedDeadLetter dead-letters the message. This is the default.
	ExhaustedDeadLetter Exhausted = "dead_letter"
	// ExhaustedBlock retries without end and acknowledges nothing, so that the broker soon
	// stops delivering.
	ExhaustedBlock Exhausted = "block"
	// ExhaustedDrop acknowledges the message, counts it as discarded and logs it.
	ExhaustedDrop Exhausted = "drop"
)

// Unmatched is what happens to a QoS 1 or 2 message that no subscription matches after the
// time to wait for one is over. Its text is the value of a setting.
type Unmatched string

// The values of Unmatched.
const (
	// UnmatchedDeadLetter makes it a dead letter with the reason "no subscription", which can
	// be replayed. This is the default.
	UnmatchedDeadLetter Unmatched = "dead_letter"
	// UnmatchedDrop acknowledges and counts the message.
	UnmatchedDrop Unmatched = "drop"
)

// judged is an error with a verdict.
type judged struct {
	error
	verdict Verdict
}

func (j *judged) Unwrap() error { return j.error }

// WithVerdict wraps err, the error of a handler, with a verdict that takes precedence over
// every rule. It returns nil for nil. If errors are nested, the outermost verdict applies.
func WithVerdict(err error, v Verdict) error {
	if err == nil {
		return nil
	}
	return &judged{err, v}
}

// Permanent wraps err so that the message is dead-lettered at once, without retries. It
// returns nil for nil.
func Permanent(err error) error { return WithVerdict(err, VerdictDeadLetter) }

// VerdictOf returns the verdict in err's chain and reports whether there is one.
func VerdictOf(err error) (Verdict, bool) {
	if j, ok := errors.AsType[*judged](err); ok {
		return j.verdict, true
	}
	return "", false
}
