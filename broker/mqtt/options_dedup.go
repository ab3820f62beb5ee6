package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithDedup has each message handled once within a window: a message whose id
// the window remembers is acknowledged without a call of its handler, counted in
// the health, and told to event.DuplicateHook. Ids are remembered for each
// subscription apart, under the name of the service; a subscription is known by
// its filter and its place among those with the same one. There an id counts within
// its topic, and that of a CloudEvent within its source, too: what one device sends
// is never a duplicate of another one's message; see [WithSubscribeIDsSpanTopics].
//
// The handler runs inside the window, whose transaction, if it has one, is in its
// context (event/sqltx). An error of the window is one of the handler: the message is
// tried again. A message whose id is being handled waits for the end of that, without
// a worker and without an attempt.
//
// The id is that of the field that [WithSubscribeIDField] names, else the user property "id",
// else that of the CloudEvent. A message without one is handled each time, which is
// counted, and logged once for a subscription. So is every message of a
// subscription without automatic acknowledgement. Default: none.
func WithDedup(window dedup.Window) broker.Option {
	return WithSettings(func(s *client.Settings) { s.Config.Dedup = window })
}

// WithSubscribeIDField names the field of the decoded message that has its id: of protobuf
// by its name in the .proto file or in JSON, of a struct by its name in JSON or in
// Go, of a map by its key. It counts over the id of a header; a header with another
// one is counted as IDMismatches of the health, and logged once a minute. Without a
// value the header counts. A field that is not there, or is no text, bytes or whole
// number, is an error of the subscribe. Default: none. Duplicates are known by it with
// [WithDedup].
func WithSubscribeIDField(name string) broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.typed.IDField = name })
}

// WithSubscribeIDsSpanTopics makes an id unique over all topics of the subscription
// instead of within its topic: a message that comes again on another topic is a
// duplicate. A client that may publish on one of the topics can then cause messages on
// the others to be acknowledged without being handled. The id of a CloudEvent is still
// unique only within its source. Default: false. It requires [WithDedup].
func WithSubscribeIDsSpanTopics() broker.SubscribeOption {
	return subscribing(func(s *subscribeCall) { s.typed.IDsSpanTopics = true })
}
