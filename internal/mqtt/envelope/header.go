package envelope

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// headerOf returns everything that came beside the payload, in order: the
// attributes of a structured event, then the user properties. Attributes that
// were sent with a prefix are there without it, too. plain is set if these are the
// user properties and nothing else.
func headerOf(in *session.Inbound, ce *cloudEvent) (list []session.UserProperty, plain bool) {
	var own []session.UserProperty
	if in.Properties != nil {
		own = in.Properties.User
	}
	if ce != nil {
		return slices.Concat(ce.attributes, own), false
	}
	if _, ok := Last(own, binaryPrefix+attrSpecVersion); !ok {
		return own, true
	}
	var bare []session.UserProperty
	for _, u := range own {
		if name, ok := strings.CutPrefix(strings.ToLower(u.Key), binaryPrefix); ok && name != "" {
			bare = append(bare, session.UserProperty{Key: name, Value: u.Value})
		}
	}
	return slices.Concat(bare, own), false
}

// Last returns the last value of a key in any case, which is the one that counts
// where there is room for one only.
func Last(list []session.UserProperty, key string) (string, bool) {
	for _, l := range slices.Backward(list) {
		if strings.EqualFold(l.Key, key) {
			return l.Value, true
		}
	}
	return "", false
}

// Carrier reads trace context from headers that arrived.
type Carrier []session.UserProperty

var _ propagation.TextMapCarrier = Carrier(nil)

// Get returns the last value of a key.
func (c Carrier) Get(key string) string {
	v, _ := Last(c, key)
	return v
}

// Set does nothing: a message that arrived does not change.
func (c Carrier) Set(string, string) {}

// Keys lists the keys.
func (c Carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for _, u := range c {
		keys = append(keys, u.Key)
	}
	return keys
}

// TraceContext takes the trace context of a publish. It does not refer to the message, which
// may stay on the stack: [Message.Trace] takes what was set.
type TraceContext struct {
	asked Carrier   // headers that the caller set
	set   []ambient // in room, if it has one header, as usual
	room  [1]ambient
}

var _ propagation.TextMapCarrier = (*TraceContext)(nil)

// TraceContext returns a carrier for the trace context of the message.
func (m *Message) TraceContext() *TraceContext {
	c := new(TraceContext)
	if c.set = c.room[:0]; m.Properties != nil {
		c.asked = m.Properties.User
	}
	return c
}

// Trace sends the trace context with the message, if there is room.
func (m *Message) Trace(c *TraceContext) {
	if m.ambient == nil {
		m.ambient = c.set
		return
	}
	m.ambient = append(m.ambient, c.set...)
}

// Get returns the last value of a key.
func (c *TraceContext) Get(key string) string {
	for _, a := range slices.Backward(c.set) {
		if strings.EqualFold(a.Key, key) {
			return a.Value
		}
	}
	return c.asked.Get(key)
}

// Set replaces a key: trace context is single-valued.
func (c *TraceContext) Set(key, value string) {
	c.set = slices.DeleteFunc(c.set, func(a ambient) bool { return strings.EqualFold(a.Key, key) })
	c.set = append(c.set, ambient{session.UserProperty{Key: key, Value: value}, true})
}

// Keys lists the keys.
func (c *TraceContext) Keys() []string {
	keys := c.asked.Keys()
	for _, a := range c.set {
		keys = append(keys, a.Key)
	}
	return keys
}
