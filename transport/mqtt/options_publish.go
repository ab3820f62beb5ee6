package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
)

// Publisher takes the settings of [Server.Publish] from a service's
// configuration: time, bounds, retry and sequence; what is unset keeps the
// defaults.
func Publisher(p *v1.Publisher) ServerOption {
	return set(func(s *bridge.Settings) { s.Publisher(p) })
}

// WithSequence numbers the messages of each topic that [Server.Publish] sends, so
// that subscribers of this module notice, and report, what is missing; see
// broker/mqtt's option of the same name. Default: false.
func WithSequence(enable bool) ServerOption {
	return set(func(s *bridge.Settings) { s.Sequence = enable })
}

// WithPublishMessageID sets the id of the message, over the one that it has and
// over a header "id": the user property "id" on MQTT 5, the id of the CloudEvent.
// Default: a UUIDv7, which MQTT 3.1.1 has no place for without
// [WithCloudEvents].
func WithPublishMessageID(id string) broker.PublishOption {
	return bridge.PublishOption(func(s *bridge.PublishSettings) { s.ID = id })
}

// WithPublishOrderingKey names the order that the message belongs to in an
// outbox. Default: the topic. Without an outbox it has no effect.
func WithPublishOrderingKey(key string) broker.PublishOption {
	return bridge.PublishOption(func(s *bridge.PublishSettings) { s.Key = key })
}

// WithPublishRetryUnrouted has an outbox send the message again, as long as the
// broker has no subscriber for it and at most for maxAge after its acceptance; 0
// is event.DefaultUnroutedAge. MQTT 5. Default: it counts as delivered. Without an
// outbox it has no effect.
func WithPublishRetryUnrouted(maxAge time.Duration) broker.PublishOption {
	return bridge.PublishOption(func(s *bridge.PublishSettings) {
		s.Unrouted = &event.Unrouted{Retry: true, MaxAge: maxAge}
	})
}

// WithPublishDirect sends the message past the outbox: Publish returns when the
// broker has it, and fails while the broker is down. Without an outbox it has no
// effect.
func WithPublishDirect() broker.PublishOption {
	return bridge.PublishOption(func(s *bridge.PublishSettings) { s.Direct = true })
}
