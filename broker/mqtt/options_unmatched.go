package mqtt

import (
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithUnmatched sets what happens to a QoS 1 or 2 message that matches no subscription. A
// broker delivers such messages when the session still has filters of an earlier process.
//
// For the time grace, the message stays unacknowledged: a matching subscription that is
// registered by then handles it. The time starts with the connection, and again with each
// registration, but ends after three times grace in any case. 0 waits for no
// subscription; a negative time is an error of Connect.
//
// After that, the message becomes a dead letter with the reason "no subscription" and is
// acknowledged (event.UnmatchedDeadLetter, or ""), or is acknowledged and counted
// (event.UnmatchedDrop). Another value is an error of Connect.
//
// There is no wait for messages of filters that the service has given up: those of
// [WithPreviousFilters], and those that the dead-letter store remembers of an earlier
// process and that this one did not register before Connect. QoS 0 messages, and messages
// of a filter after Unsubscribe, are dropped at once. Default: 10 s, and
// event.UnmatchedDeadLetter.
func WithUnmatched(grace time.Duration, then event.Unmatched) broker.Option {
	return with(func(s *client.Settings) { s.Config.UnmatchedGrace, s.Config.Unmatched = &grace, then })
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
	return with(func(s *client.Settings) { s.Config.PreviousFilters = filters })
}

// WithSharedGroupPrefix sets the prefix of shared subscriptions for brokers that do not
// use $share as MQTT 5 does: "$SharedSubscription" for some older ones, or "$queue",
// which has no groups, so that all shared subscriptions of a filter are one; a second
// group on that filter is an error of the registration. Filters are still written with
// $share in the code, also for [WithPreviousFilters]. A prefix that is not a single
// level beginning with $ is an error of Connect. Default: that of the preset, else
// "$share".
func WithSharedGroupPrefix(prefix string) broker.Option {
	return with(func(s *client.Settings) { s.Config.SharePrefix = prefix })
}

// WithKeepFilters keeps topic filters subscribed that the service no longer has a
// subscription for; their messages become dead letters, see [WithUnmatched]. Default:
// false.
func WithKeepFilters(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.Config.KeepFilters = enable })
}
