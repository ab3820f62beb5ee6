package mqtt

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
)

// WithUnmatched says for how long a QoS 1 or 2 message that no subscription
// matches is kept unacknowledged for one that is registered later: since the
// connection and anew since each registration, three times as long at most. What
// arrives later is handled meanwhile, and acknowledged after it. 0 keeps none; less
// than 0 is an error of Start.
//
// Then, and at once for a filter that is gone, the message is acknowledged and
// becomes a dead letter with the reason "no subscription"; or it is dropped and
// counted, with event.UnmatchedDrop. Another value is an error of Start. Gone is a
// filter that [WithPreviousFilters] names, and one that an earlier process
// registered before Start and this one did not, where the store for dead letters
// remembers filters. Default: 10 s, and event.UnmatchedDeadLetter, which "" stands
// for, too.
func WithUnmatched(grace time.Duration, then event.Unmatched) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.UnmatchedGrace, s.Unmatched = &grace, then })
}

// WithPreviousFilters names topic filters that earlier versions of the service
// subscribed to and this one does not: they are unsubscribed, and what still comes
// for them is a dead letter at once; see the option of broker/mqtt. One that is
// subscribed to stays, with a warning; what is no topic filter is an error of
// Start. Default: none.
func WithPreviousFilters(filters ...string) ServerOption {
	filters = slices.Clone(filters)
	return set(func(s *bridge.Settings) { s.Config.PreviousFilters = filters })
}

// WithKeepFilters leaves topic filters subscribed that the service has no
// subscription for any more. Default: false.
func WithKeepFilters(enable bool) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.KeepFilters = enable })
}
