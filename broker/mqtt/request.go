package mqtt

import (
	"context"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
)

// Request sends a request with a broker of [NewBroker] and decodes the reply,
// with the codec that its content type names, else the request's.
//
// It waits within ctx, or the timeout option, else for 10 s. Replies come on
// inbox/<client id>/<random UUID>, unless broker.WithReplyTopic says otherwise, over a
// connection of their own, <client id>-req, which is opened when first needed and
// whose session the broker does not keep. Requests may be sent inside handlers, in
// any number at once: no handler holds up a reply. An error of the replier is a
// Kratos error with its code and reason. TIMEOUT and CLOSED have MayHaveBeenSent
// set: the request may have been carried out. MQTT 5 has response topic and
// correlation data; on 3.1.1 both sides need [WithCloudEvents], or the reason is
// UNSUPPORTED. At most 2048 requests wait at a time, and those for one topic take
// at most as many as they leave free; more is QUOTA_EXCEEDED. At most 64 topics for replies are subscribed to: those that no request waits on are
// given back, and a request that finds none waits for one.
func Request[Resp any](ctx context.Context, b broker.Broker, topic string, req any, opts ...broker.RequestOption) (*Resp, error) {
	return bridge.Request[Resp](ctx, b, topic, req, opts...)
}

// WithRequestBinder decodes the body of a reply into what binder makes. Default:
// the body is the reply's bytes.
func WithRequestBinder(binder broker.Binder) broker.RequestOption {
	return bridge.RequestOption(func(s *bridge.RequestSettings) { s.Binder = binder })
}
