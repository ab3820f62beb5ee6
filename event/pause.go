package event

import "time"

// Breaker pauses a subscription whose handler fails again and again, because what it depends on
// is down. While it is open, messages wait at the broker, or in the queue, and none becomes a
// dead letter or is parked. The zero value means no breaker.
type Breaker struct {
	// Failures is how many attempts of the handler have to fail in a row, with none that
	// succeeds, within Window, so that the breaker opens. Only errors count that are retried:
	// not messages that cannot be decoded, errors of code 400, 413, 422 and 501, other verdicts,
	// and panics. 0 means no breaker.
	Failures int
	// Window is the time within which they have to fail. 0 means 1 min.
	Window time.Duration
	// Pause is the time from opening to the attempt that decides whether it closes: one call
	// of the handler, for one message or one batch. 0 means 5 s.
	Pause time.Duration
}

// The defaults of [Breaker].
const (
	DefaultBreakerFailures = 5
	DefaultBreakerWindow   = time.Minute
	DefaultBreakerPause    = 5 * time.Second
)

// PauseState is whether a subscription handles messages, and if not, why. Its text is stable.
type PauseState string

// The states.
const (
	// PausedByHand means that Pause was called. It lasts until Resume.
	PausedByHand PauseState = "paused"
	// BreakerOpen means that the breaker is open.
	BreakerOpen PauseState = "open"
	// BreakerHalfOpen means that the next message, or the one that is being handled, decides
	// whether the breaker closes.
	BreakerHalfOpen PauseState = "half-open"
	// BreakerClosed means that messages are handled: nobody paused the subscription, and its
	// breaker, if it has one, is closed.
	BreakerClosed PauseState = "closed"
)

// PauseOption describes a pause by hand. The options have no effect on the messages.
type PauseOption interface{ applyPause(note *PauseNote) }

// PauseNote is the result of the options of a pause.
type PauseNote struct{ By, Why string }

// NewPauseNote applies options. The last of them takes precedence.
func NewPauseNote(opts []PauseOption) (note PauseNote) {
	for _, o := range opts {
		if o != nil {
			o.applyPause(&note)
		}
	}
	return note
}

func (n PauseNote) applyPause(note *PauseNote) { *note = n }

// PausedBy records the name of the person who pauses a subscription, and the reason. Both are
// shown in [SubscriptionPause] and in the log, shortened and without control characters.
// Default: empty.
func PausedBy(name, why string) PauseOption { return PauseNote{name, why} }

// SubscriptionPause is a subscription, and whether it handles messages for now.
type SubscriptionPause struct {
	// Name is the operation of a generated handler, /pkg.Service/Method, else the topic filter
	// as it was registered. It can be a metric label.
	Name string
	// State is whether it handles messages, and if not, why.
	State PauseState
	// By and Why are those of [PausedBy], if it was paused by hand.
	By, Why string
	// Since is when it was paused, or when the breaker opened; zero if it handles messages.
	Since time.Time
	// OpensAt is the number of failed attempts in a row that open the breaker; 0 means that the
	// subscription has no breaker.
	OpensAt int
	// Failures is the number of attempts that failed in a row, including those that opened the
	// breaker and those that it made since. LastError is the text of the last one, for people.
	Failures  int
	LastError string
	// NextTrial is when the breaker makes the next attempt. It is zero unless State is
	// [BreakerOpen].
	NextTrial time.Time
	// Waiting is the number of messages that wait for it in this process, or are being handled.
	Waiting int
	// AlsoWaiting names the other subscriptions of the same broker session, sorted: their
	// messages wait, too, once the in-flight window of the session or its queue is full. It is
	// empty if the subscription has a session of its own.
	AlsoWaiting []string
}

// PauseHook is called when a subscription is paused and resumed, by hand or by its breaker, and
// with each attempt of an open breaker.
type PauseHook interface{ OnPause(info SubscriptionPause) }
