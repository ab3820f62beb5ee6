package mqtt

import (
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithUnmatched says for how long a QoS 1 or 2 message that no subscription
// matches is kept unacknowledged, and what becomes of it then. The broker kept it
// in the session for a filter that an earlier process had: a subscription that is
// registered in time handles it, in the order of arrival. The time counts from
// the connection and anew from each registration, to three times as much at most;
// messages that arrived later are handled meanwhile, and acknowledged after it. 0
// keeps none; less than 0 is an error of Connect.
//
// What found no subscription in that time becomes, with event.UnmatchedDeadLetter
// or "", a dead letter with the reason "no subscription" in the store for dead
// letters, and with event.UnmatchedDrop it is dropped and counted; another value
// is an error of Connect. Either way it is acknowledged then, and the broker does
// not deliver it again. At once, and not after the time, this becomes of messages
// of a filter that is gone: one that [WithPreviousFilters] names, or that an earlier
// process registered before Connect and this one did not, where the store remembers
// filters. QoS 0 is dropped at once, and so is what still comes for a filter after
// Unsubscribe. Default: 10 s, and event.UnmatchedDeadLetter.
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

// WithSharedGroupPrefix is for brokers whose shared subscriptions do not begin with
// $share, as MQTT 5 has it: "$SharedSubscription" of some older ones, or "$queue",
// which has no groups, so that all shared subscriptions of a filter are one; a
// second group of it is an error of the registration. Filters are written with
// $share on this side, also for [WithPreviousFilters]. What is not one level that
// begins with $ is an error of Connect. Default: "$share".
func WithSharedGroupPrefix(prefix string) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.SharePrefix = prefix })
}

// WithKeepFilters leaves topic filters subscribed that the service has no
// subscription for any more; their messages become dead letters, see
// [WithUnmatched]. Default: false.
func WithKeepFilters(enable bool) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.KeepFilters = enable })
}
