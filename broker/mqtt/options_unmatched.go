package mqtt

import (
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithUnmatched sets how long a QoS 1 or 2 message that matches no subscription is kept
// unacknowledged, and what happens to it then. The broker has such messages in the
// session for filters of an earlier process: a subscription that is registered in time
// handles them, in the order of arrival. The time counts from the connection and again
// from each registration, up to three times grace in total; later messages are handled
// meanwhile, and acknowledged afterwards. 0 keeps no messages; a negative time is an
// error of Connect.
//
// After that time the message becomes a dead letter with the reason "no subscription"
// (event.UnmatchedDeadLetter or ""), or is dropped and counted (event.UnmatchedDrop);
// another value is an error of Connect. Either way it is acknowledged, and the broker
// does not deliver it again. This happens at once for messages of obsolete filters:
// those that [WithPreviousFilters] names, and those that an earlier process registered
// before Connect and this one did not, if the store remembers filters. QoS 0 messages
// are dropped at once, and so are messages that arrive for a filter after Unsubscribe.
// Default: 10 s, and event.UnmatchedDeadLetter.
func WithUnmatched(grace time.Duration, then event.Unmatched) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.UnmatchedGrace, s.Config.Unmatched = &grace, then })
}

// WithPreviousFilters names topic filters, with $share and group for shared ones, that
// earlier versions of the service subscribed to and this one does not: the broker keeps
// them with the session, and MQTT cannot list them. They are unsubscribed once all
// current filters are granted and no message waits for a subscription any more.
// Messages that arrive for them before become dead letters at once, as [WithUnmatched]
// describes. A filter that is still subscribed to is kept, with a warning; an invalid
// topic filter is an error of Connect. A dead-letter store that is a
// deadletter.FilterMemory, such as those in SQL and in a file, remembers filters
// itself. Default: none.
func WithPreviousFilters(filters ...string) broker.Option {
	filters = slices.Clone(filters)
	return WithSettings(func(s *client.Settings) { s.Config.PreviousFilters = filters })
}

// WithSharedGroupPrefix sets the prefix of shared subscriptions for brokers that do not
// use $share as MQTT 5 does: "$SharedSubscription" for some older ones, or "$queue",
// which has no groups, so that all shared subscriptions of a filter are one; a second
// group on that filter is an error of the registration. Filters are still written with
// $share in the code, also for [WithPreviousFilters]. A prefix that is not a single
// level beginning with $ is an error of Connect. Default: "$share".
func WithSharedGroupPrefix(prefix string) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.SharePrefix = prefix })
}

// WithKeepFilters keeps topic filters subscribed that the service no longer has a
// subscription for; their messages become dead letters, see [WithUnmatched]. Default:
// false.
func WithKeepFilters(enable bool) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.KeepFilters = enable })
}
