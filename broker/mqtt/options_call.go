package mqtt

import (
	"cmp"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// WithCallOptions sets how one message is sent, with the options that the calls of
// generated clients and [Publisher] take: event.Expiry, event.ID, event.OrderingKey and
// so on. Further calls add options. event.QoS takes precedence over
// broker.WithPublishRequiredAcks; event.Header adds to the headers of the message.
// Default: QoS 1, not retained, no expiry.
func WithCallOptions(opts ...event.CallOption) broker.PublishOption {
	return publishing(func(r *publishCall) {
		m, p := &r.msg, &r.props
		c := event.Call{
			Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Expiry: p.Expiry, Unrouted: m.Again,
			ID: m.MessageID, OrderingKey: m.Key, ContentType: p.ContentType, SkipOutbox: m.SkipOutbox, Due: m.Due,
		}
		c.Apply(opts...)
		m.Topic, m.Retain, p.Expiry, m.Again, m.Due = c.Topic, c.Retain, c.Expiry, c.Unrouted, c.Due
		m.MessageID, m.Key, p.ContentType, m.SkipOutbox = c.ID, cmp.Or(c.OrderingKey, m.Key), c.ContentType, c.SkipOutbox
		p.User = append(p.User, c.Headers...)
		if c.SetsQoS() {
			r.SetQoS(c.QoS)
		}
	})
}

// CallOf returns what options of Publish set, over QoS 1: for a fake of a kratos-transport
// broker, which could not read the options of this package otherwise. Topic is "" unless an
// option sets it. The error, a negative expiry or a number of acknowledgements that is not a
// QoS, is that of Publish.
func CallOf(opts ...broker.PublishOption) (event.Call, error) {
	r, err := newPublishOptions("", opts)
	m, p := &r.msg, &r.props
	return event.Call{
		Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Expiry: p.Expiry, Unrouted: m.Again, ID: m.MessageID,
		Headers: p.User, OrderingKey: m.Key, ContentType: p.ContentType, SkipOutbox: m.SkipOutbox, Due: m.Due,
	}, err
}

// WithPublishQos sets the QoS of one publish: 0, 1 or 2; others are an error of the
// publish. It takes precedence over broker.WithPublishRequiredAcks. Default: 1.
func WithPublishQos(qos byte) broker.PublishOption {
	return publishing(func(r *publishCall) { r.SetQoS(qos) })
}

// WithPublishRetained asks the broker to keep the message for later
// subscribers. Default: false.
func WithPublishRetained(retained bool) broker.PublishOption {
	return publishing(func(r *publishCall) { r.msg.Retain = retained })
}

// WithRequestBinder decodes the body of a reply into the value that binder creates; a
// reply that cannot be decoded is an error of the request. Default: the body is the
// reply's bytes.
func WithRequestBinder(binder broker.Binder) broker.RequestOption {
	return requesting(func(s *requestCall) { s.binder = binder })
}
