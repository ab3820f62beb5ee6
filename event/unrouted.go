package event

import "time"

// DefaultUnroutedAge is how long [RetryUnrouted] and [Unrouted] send a message again if no
// time is set.
const DefaultUnroutedAge = time.Hour

// Unrouted describes what an outbox does with a message that the broker accepted although no
// subscription matches it. The broker reports this in PUBACK or PUBREC with code 0x10. MQTT 5
// does not require it to, and 3.1.1 has no such code, so a missing report proves nothing. A
// retained message is stored by the broker in any case and never counts as unrouted.
type Unrouted struct {
	// Retry keeps the message and sends it again with growing pauses, while the messages
	// behind it in its order wait. Default: the message counts as delivered, is counted, and
	// is reported to OutboxHook.
	Retry bool
	// MaxAge is how long the message is sent again at most, from its acceptance into the
	// outbox. After that it counts as delivered. 0 means [DefaultUnroutedAge].
	MaxAge time.Duration
}

// RetryFor returns how long a message is sent again; 0 means that it is not.
func (u *Unrouted) RetryFor() time.Duration {
	switch {
	case u == nil || !u.Retry:
		return 0
	case u.MaxAge <= 0:
		return DefaultUnroutedAge
	}
	return u.MaxAge
}

// RetryUnrouted makes an outbox send the message of one call again as long as the broker has
// no subscriber for it, and at most for maxAge after its acceptance into the outbox; 0 means
// [DefaultUnroutedAge]. It has no effect without an outbox: the call succeeds. Default: the
// setting of the operation in the configuration of the outbox, else that of the method, else
// [AcceptUnrouted].
func RetryUnrouted(maxAge time.Duration) CallOption {
	return callOption(func(c *Call) { c.Unrouted = &Unrouted{Retry: true, MaxAge: maxAge} })
}

// AcceptUnrouted makes an outbox regard the message of one call as delivered although the
// broker had no subscriber for it. It takes precedence over the configuration and the method.
func AcceptUnrouted() CallOption {
	return callOption(func(c *Call) { c.Unrouted = &Unrouted{} })
}
