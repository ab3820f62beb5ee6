package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// Dedup has each message handled once within a window: a message whose id
// the window remembers is acknowledged without a call of its handler, counted in
// the health, and told to event.DuplicateHook. Ids are remembered for each
// subscription apart, under the name of the service; a subscription is known by
// its filter and its place among those with the same one. The handler runs inside
// the window, whose transaction, if it has one, is in its context (event/sqltx).
// An error of the window is one of the handler: the message is tried again.
//
// The id is the user property "id", else that of the CloudEvent, else the field
// that [WithIDField] names. A message without one is handled each time, which is
// counted, and logged once for a subscription. So is every message of a
// subscription without automatic acknowledgement. Default: none.
func Dedup(window dedup.Window) ServerOption {
	return set(func(s *bridge.Settings) { s.Dedup = window })
}

// WithIDField names the field of the decoded message that has its id, for
// messages that carry none as a user property "id" or as a CloudEvent: of protobuf
// by its name in the .proto file or in JSON, of a struct by its name in JSON or in
// Go, of a map by its key. A field that is not there, or is no text, bytes or whole
// number, is an error of the subscribe. Default: none. It needs [Dedup].
func WithIDField(name string) broker.SubscribeOption {
	return bridge.SubscribeOption(func(s *bridge.SubscribeSettings) { s.IDField = name })
}
