package mqtt

import (
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
)

// WithDedup handles each message once within a window: a message whose id is in the window is
// acknowledged without calling its handler, counted in Health, and reported to event.DuplicateHook.
// An id counts within its topic; it is taken from the field of [WithSubscribeIDField], else from the
// user property "id", else from the CloudEvent. The handler runs inside the window, whose
// transaction, if it has one, is in its context (event/sqltx). Default: none.
func WithDedup(window dedup.Window) Option { return func(s *settings) { s.Config.Dedup = window } }

// WithSubscribeIDField names the field of the decoded message that has its id: of a protobuf
// message by its name in the .proto file or in JSON, of a struct by its name in JSON or in Go, of a
// map by its key. Default: none.
func WithSubscribeIDField(name string) SubscribeOption {
	return func(s *subscription) { s.Message.IDField = name }
}

// WithSubscribeIDsSpanTopics makes an id unique over all topics of the subscription instead of
// within its topic: a message that comes again on another topic is a duplicate. Default: false.
func WithSubscribeIDsSpanTopics() SubscribeOption {
	return func(s *subscription) { s.Message.IDsSpanTopics = true }
}
