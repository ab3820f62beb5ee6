package mqtt

import (
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// WithUnmatched says for how long a QoS 1 or 2 message that no subscription
// matches is kept unacknowledged, and what becomes of it then. The broker kept it
// in the session for a filter that an earlier process had: a subscription that is
// registered in time handles it, in the order of arrival. The time counts from
// the connection and anew from each registration, to three times as much at most;
// messages that arrived later are acknowledged behind it. 0 keeps none, less is an
// error. What has then is a dead letter with the reason "no subscription" in the
// store for dead letters, or dropped and counted; another value is an error. QoS 0
// is dropped at once, and so is what still comes for a filter after Unsubscribe.
// Default: 10 s, and event.UnmatchedDeadLetter, which "" stands for, too.
func WithUnmatched(grace time.Duration, then event.Unmatched) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.UnmatchedGrace, s.Unmatched = &grace, then })
}

// WithPreviousFilters names topic filters, with $share and group for shared ones,
// that earlier versions of the service subscribed to and this one does not: the
// broker keeps them with the session, and MQTT cannot list them. They are
// unsubscribed once all of ours are granted and no message waits for a
// subscription any more. A store for dead letters that is a
// deadletter.FilterMemory, as those in SQL and in a file are, remembers filters
// itself. Default: none.
func WithPreviousFilters(filters ...string) broker.Option {
	filters = slices.Clone(filters)
	return bridge.Option(func(s *bridge.Settings) { s.Config.PreviousFilters = filters })
}

// WithKeepFilters leaves topic filters subscribed that the service has no
// subscription for any more; their messages become dead letters, see
// [WithUnmatched]. Default: false.
func WithKeepFilters(enable bool) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.KeepFilters = enable })
}
