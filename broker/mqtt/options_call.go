package mqtt

import (
	"cmp"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithCallOptions sets how one message is sent, with the options that the calls of
// generated clients and [Publisher] take: event.Expiry, event.ID, event.OrderingKey and
// so on. Further calls add options. event.QoS takes precedence over
// broker.WithPublishRequiredAcks; event.Header adds to the headers of the message.
// Default: QoS 1, not retained, no expiry.
func WithCallOptions(opts ...event.CallOption) broker.PublishOption {
	return publishing(func(s *publishCall) {
		c := event.Call{
			Topic: s.Topic, QoS: s.QoS, Retain: s.Retain, Expiry: s.Expiry, Unrouted: s.Unrouted,
			ID: s.ID, OrderingKey: s.Key, ContentType: s.ContentType, Direct: s.Direct,
		}
		c.Apply(opts...)
		takeCall(s, &c)
		if c.SetsQoS() {
			s.SetQoS(c.QoS)
		}
	})
}

// takeCall applies the options of a call to a publish, except its QoS.
func takeCall(s *publishCall, c *event.Call) {
	s.Topic, s.Retain, s.Expiry, s.Unrouted = c.Topic, c.Retain, c.Expiry, c.Unrouted
	s.ID, s.Key, s.ContentType, s.Direct = c.ID, cmp.Or(c.OrderingKey, s.Key), c.ContentType, c.Direct
	for _, h := range c.Headers {
		s.User = append(s.User, client.UserProperty(h))
	}
}

// WithPublishQos sets the QoS of one publish: 0, 1 or 2; others are an error of the
// publish. It takes precedence over broker.WithPublishRequiredAcks. Default: 1.
func WithPublishQos(qos byte) broker.PublishOption {
	return publishing(func(s *publishCall) { s.SetQoS(qos) })
}

// WithPublishRetained asks the broker to keep the message for later
// subscribers. Default: false.
func WithPublishRetained(retained bool) broker.PublishOption {
	return publishing(func(s *publishCall) { s.Retain = retained })
}

// WithRequestBinder decodes the body of a reply into the value that binder creates; a
// reply that cannot be decoded is an error of the request. Default: the body is the
// reply's bytes.
func WithRequestBinder(binder broker.Binder) broker.RequestOption {
	return requesting(func(s *requestCall) { s.binder = binder })
}
