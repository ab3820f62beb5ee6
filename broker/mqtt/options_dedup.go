package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// WithDedup handles each message once within a window: a message whose id is in the
// window is acknowledged without calling its handler, counted in Health, and reported
// to event.DuplicateHook. Ids are stored per subscription, under the name of the
// service; a subscription is identified by its filter, and by a number if several have
// the same filter. An id is unique within its topic, and the id of a CloudEvent also
// within its source, so a message of one device is never a duplicate of another
// device's; see [WithSubscribeIDsSpanTopics].
//
// The handler runs inside the window; the window's transaction, if it has one, is in
// the handler's context (event/sqltx). An error of the window counts as an error of the
// handler, and the message is retried. A message whose id is being handled waits until
// that ends, without occupying a worker or using up an attempt.
//
// The id is taken from the field that [WithSubscribeIDField] names, else from the user
// property "id", else from the CloudEvent. A message without an id is handled each
// time; it is counted, and logged once per subscription. The same applies to every
// message of a subscription without automatic acknowledgement. Default: none.
func WithDedup(window dedup.Window) broker.Option {
	return with(func(s *client.Settings) { s.Config.Dedup = window })
}

// WithSubscribeIDField names the field of the decoded message that has its id: of a
// protobuf message by its name in the .proto file or in JSON, of a struct by its name
// in JSON or in Go, of a map by its key. It takes precedence over an id in a header; a
// different id there is counted as IDMismatches in Health, and logged once a minute. If
// the field is empty, the header is used. A field that does not exist, or is not text,
// bytes or an integer, is an error of the subscribe. [WithDedup] uses it to detect
// duplicates. Default: none.
func WithSubscribeIDField(name string) broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Message.IDField = name })
}

// WithSubscribeIDsSpanTopics makes an id unique over all topics of the subscription
// instead of within its topic: a message that comes again on another topic is a
// duplicate. A client that may publish on one of the topics can then cause messages on
// the others to be acknowledged without being handled. The id of a CloudEvent is still
// unique only within its source. Default: false. It requires [WithDedup].
func WithSubscribeIDsSpanTopics() broker.SubscribeOption {
	return subscribing(func(s *option.Subscription) { s.Message.IDsSpanTopics = true })
}
