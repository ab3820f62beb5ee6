package outbox

import (
	"cmp"
	"errors"
	"math"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// DefaultRefusedLimit is how long the broker may refuse a message before it is
// quarantined.
const DefaultRefusedLimit = time.Hour

// permanent reports whether an entry can never be sent: it is over limits of ours,
// which were others when it was accepted, or it ends the connection of all others.
// What a broker announced or said is never permanent: the next one may take it.
func permanent(err error) bool {
	e, ok := errors.AsType[*event.Error](err)
	if !ok {
		return false
	}
	if e.Convicted && e.RetryAfter == 0 { // it was tried itself
		return true
	}
	if e.ByBroker {
		return false
	}
	switch e.Reason {
	case event.ReasonBadTopic, event.ReasonTooLarge, event.ReasonBadRequest, event.ReasonUnsupported, event.ReasonCodec:
		return true
	}
	return false
}

// refusal reports whether the broker refused an entry, and for how long that is
// tried on: rights may come back. A quota, and what the broker takes at most, are
// no fault of the entry, which waits for as long as nobody set a limit.
func (s *Settings) refusal(err error) (relay.Refusal, bool) {
	e, ok := errors.AsType[*event.Error](err)
	if !ok {
		return relay.Refusal{}, false
	}
	r := relay.Refusal{Reason: string(e.Reason), After: s.RefusedLimit, Attempts: s.RefusedAttempts}
	switch e.Reason {
	case event.ReasonNotAuthorized, event.ReasonRefused, event.ReasonBadTopic:
		r.After = cmp.Or(r.After, DefaultRefusedLimit)
	case event.ReasonQuota, event.ReasonTooLarge, event.ReasonUnsupported:
		r.After = cmp.Or(r.After, math.MaxInt64)
	default:
		return relay.Refusal{}, false
	}
	return r, true
}

// unanswered reports whether the broker had an entry, and did not acknowledge it.
func unanswered(err error) bool {
	e, ok := errors.AsType[*event.Error](err)
	return ok && e.Reason == event.ReasonTimeout && e.MayHaveBeenSent
}
