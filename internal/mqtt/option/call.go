package option

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Call is the call of a generated client: its options, with what the method and the message
// provide.
type Call struct {
	event.Call
	method   *event.MethodDesc
	template string
	key      string
	idKnown  bool
}

// NewCall returns the call of a method. prefix are the levels in front of the topic, with a
// slash at the end, or "".
func NewCall(m *event.MethodDesc, prefix, topic string, in proto.Message, opts []event.CallOption) Call {
	c := Call{
		Call:   event.Call{Topic: prefix + topic, QoS: m.QoS, Retain: m.Retain, Expiry: m.Expiry},
		method: m, template: prefix + m.Topic,
	}
	c.Apply(opts...)
	if m.Key != nil {
		c.key = m.Key(in)
	}
	if c.idKnown = c.ID == "" && m.ID != nil; c.idKnown {
		c.ID = m.ID(in)
	}
	return c
}

// Fill sets what a publish of the call needs besides topic, QoS, body, id and headers. Headers
// from the message are only sent if there is room for them.
func (c *Call) Fill(out *client.Outgoing) {
	p := out.Props()
	out.Template = c.template
	out.Retain, p.Expiry, p.ContentType, out.SkipOutbox = c.Retain, c.Expiry, c.ContentType, c.SkipOutbox
	out.Key, out.OrderKey, out.IDKnown = cmp.Or(c.OrderingKey, c.key), c.key, c.idKnown
	out.Method, out.Operation, out.Again, out.Due = c.method, c.method.Operation, c.Unrouted, c.Due
}
