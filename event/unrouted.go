package event

import "time"

// DefaultUnroutedAge is for how long a message is sent again by default, when
// [RetryUnrouted] or [Unrouted] asks for it without a time.
const DefaultUnroutedAge = time.Hour

// Unrouted is what an outbox does with a message that the broker took although
// no subscription matches it, as PUBACK or PUBREC 0x10 of MQTT 5 says. A broker
// need not say so, and 3.1.1 cannot: that it did not proves nothing. A retained
// message waits at the broker all the same, and is never unrouted.
type Unrouted struct {
	// Retry keeps the message, sends it again with growing pauses, and what is
	// behind it in its order waits. Default: it counts as delivered, is counted
	// and told.
	Retry bool
	// MaxAge is for how long after its acceptance, at most; then it counts as
	// delivered, too. 0 is [DefaultUnroutedAge].
	MaxAge time.Duration
}

// RetryFor is for how long a message is sent again; 0 is not at all.
func (u *Unrouted) RetryFor() time.Duration {
	switch {
	case u == nil || !u.Retry:
		return 0
	case u.MaxAge <= 0:
		return DefaultUnroutedAge
	}
	return u.MaxAge
}

// RetryUnrouted has an outbox send the message of one call again, as long as the
// broker has no subscriber for it and at most for maxAge after its acceptance; 0
// is [DefaultUnroutedAge]. Without an outbox it changes nothing: the caller hears
// of success. Default: what the configuration of the outbox says for the
// operation, else what the method does, else [AcceptUnrouted].
func RetryUnrouted(maxAge time.Duration) CallOption {
	return callOption(func(c *Call) { c.Unrouted = &Unrouted{Retry: true, MaxAge: maxAge} })
}

// AcceptUnrouted takes a message of one call for delivered although the broker
// had no subscriber for it, over what the configuration and the method say.
func AcceptUnrouted() CallOption {
	return callOption(func(c *Call) { c.Unrouted = &Unrouted{} })
}
