package bridge

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// DefaultRefusedLimit is how long the broker may refuse a message before it is
// put aside.
const DefaultRefusedLimit = time.Hour

// permanent reports whether an entry can never be sent: trying again would not
// help it, or ends the connection of all others.
func permanent(err error) bool {
	e, ok := errors.AsType[*event.Error](err)
	if !ok {
		return false
	}
	if e.Convicted && e.HeldFor == 0 { // it was tried itself
		return true
	}
	switch e.Reason {
	case event.ReasonBadTopic, event.ReasonTooLarge, event.ReasonBadRequest, event.ReasonUnsupported, event.ReasonCodec:
		return true
	}
	return false
}

// refusal reports whether the broker refused an entry, and for how long that is
// tried on: rights may come back, and a quota is no fault of the entry.
func (k *keeper) refusal(err error) (outbox.Refusal, bool) {
	e, ok := errors.AsType[*event.Error](err)
	if !ok {
		return outbox.Refusal{}, false
	}
	r := outbox.Refusal{Reason: string(e.Reason), After: k.cfg.RefusedLimit, Attempts: k.cfg.RefusedAttempts}
	switch e.Reason {
	case event.ReasonNotAuthorized, event.ReasonRefused:
		r.After = cmp.Or(r.After, DefaultRefusedLimit)
	case event.ReasonQuota:
		r.After = cmp.Or(r.After, math.MaxInt64)
	default:
		return outbox.Refusal{}, false
	}
	return r, true
}

// unanswered reports whether the broker had an entry, and did not acknowledge it.
func unanswered(err error) bool {
	e, ok := errors.AsType[*event.Error](err)
	return ok && e.Reason == event.ReasonTimeout && e.MayHaveBeenSent
}
