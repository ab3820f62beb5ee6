package mqtt

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// WithUnmatched says for how long a QoS 1 or 2 message that no subscription
// matches is kept unacknowledged for one that is registered later, and what
// becomes of it then; see the option of broker/mqtt. Default: 10 s, and
// event.UnmatchedDeadLetter, which "" stands for, too.
func WithUnmatched(grace time.Duration, then event.Unmatched) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.UnmatchedGrace, s.Unmatched = &grace, then })
}

// WithPreviousFilters names topic filters that earlier versions of the service
// subscribed to and this one does not: they are unsubscribed; see the option of
// broker/mqtt. Default: none.
func WithPreviousFilters(filters ...string) ServerOption {
	filters = slices.Clone(filters)
	return set(func(s *bridge.Settings) { s.Config.PreviousFilters = filters })
}

// WithKeepFilters leaves topic filters subscribed that the service has no
// subscription for any more. Default: false.
func WithKeepFilters(enable bool) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.KeepFilters = enable })
}
