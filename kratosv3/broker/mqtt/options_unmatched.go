package mqtt

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// WithUnmatched sets what happens to a QoS 1 or 2 message that matches no subscription. A broker
// delivers such messages when the session still has filters of an earlier process. Default: 10 s,
// and event.UnmatchedDeadLetter.
func WithUnmatched(grace time.Duration, then event.Unmatched) Option {
	return func(s *settings) { s.Config.UnmatchedGrace, s.Config.Unmatched = &grace, then }
}

// WithPreviousFilters names topic filters, with $share and group for shared ones, that earlier
// versions of the service subscribed to and this one does not: the broker keeps them with the
// session, and MQTT cannot list them. Default: none.
func WithPreviousFilters(filters ...string) Option {
	filters = slices.Clone(filters)
	return func(s *settings) { s.Config.PreviousFilters = filters }
}

// WithSharedGroupPrefix sets the prefix of shared subscriptions for brokers that do not use $share
// as MQTT 5 does: "$SharedSubscription" for some older ones, or "$queue", which has no groups, so
// that all shared subscriptions of a filter are one; a second group on that filter is an error of
// the registration. Default: that of the preset, else "$share".
func WithSharedGroupPrefix(prefix string) Option {
	return func(s *settings) { s.Config.SharePrefix = prefix }
}

// WithKeepFilters keeps topic filters subscribed that the service no longer has a subscription for;
// their messages become dead letters, see [WithUnmatched]. Default: false.
func WithKeepFilters(enable bool) Option { return func(s *settings) { s.Config.KeepFilters = enable } }
