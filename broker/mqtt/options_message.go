package mqtt

import (
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// AuthRecord holds user name and password, as in kratos-transport.
type AuthRecord struct {
	Username string
	Password string
}

// WithPublishQos sets the QoS of one publish: 0, 1 or 2; others are an error
// of the publish. It counts over broker.WithPublishRequiredAcks. Default: 1.
func WithPublishQos(qos byte) broker.PublishOption {
	return bridge.PublishOption(func(s *bridge.PublishSettings) { s.SetQoS(qos) })
}

// WithPublishRetained asks the broker to keep the message for later
// subscribers. Default: false.
func WithPublishRetained(retained bool) broker.PublishOption {
	return bridge.PublishOption(func(s *bridge.PublishSettings) { s.Retain = retained })
}

// WithSubscribeQos sets the highest QoS of one subscription: 0, 1 or 2; others
// are an error of the subscribe. Default: 1.
func WithSubscribeQos(qos byte) broker.SubscribeOption {
	return bridge.SubscribeOption(func(s *bridge.SubscribeSettings) { s.QoS = qos })
}

// WithSubscribeCodec names the codec of one subscription; one that is not
// registered is an error of the subscribe. Default: the broker's.
func WithSubscribeCodec(name string) broker.SubscribeOption {
	return bridge.SubscribeOption(func(s *bridge.SubscribeSettings) { s.Codec = name })
}

// WithSubscribeTimeout bounds one attempt of the handler: its context ends. A
// handler that goes on all the same gets no second attempt meanwhile, and no
// message of its topic is handled. Default: 30 s.
func WithSubscribeTimeout(d time.Duration) broker.SubscribeOption {
	return bridge.SubscribeOption(func(s *bridge.SubscribeSettings) { s.Timeout = d })
}

// WithSubscribeBroad allows filters that take in more than one may mean: "#",
// "+/#" and "$SYS/...". Without it they are an error.
func WithSubscribeBroad() broker.SubscribeOption {
	return bridge.SubscribeOption(func(s *bridge.SubscribeSettings) { s.Broad = true })
}
