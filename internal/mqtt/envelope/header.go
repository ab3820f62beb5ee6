package envelope

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// headerOf returns everything that came beside the payload, in order: the
// attributes of a structured event, then the user properties. Attributes that
// were sent with a prefix are there without it, too.
func headerOf(in *session.Inbound, ce *cloudEvent) []session.UserProperty {
	var own []session.UserProperty
	if in.Properties != nil {
		own = in.Properties.User
	}
	if ce != nil {
		return slices.Concat(ce.attributes, own)
	}
	if _, ok := Last(own, binaryPrefix+attrSpecVersion); !ok {
		return own
	}
	var plain []session.UserProperty
	for _, u := range own {
		if name, ok := strings.CutPrefix(strings.ToLower(u.Key), binaryPrefix); ok && name != "" {
			plain = append(plain, session.UserProperty{Key: name, Value: u.Value})
		}
	}
	return slices.Concat(plain, own)
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

// Carrier returns where trace context is put into the message.
func (m *Message) Carrier() propagation.TextMapCarrier { return messageCarrier{m} }

type messageCarrier struct{ *Message }

var _ propagation.TextMapCarrier = messageCarrier{}

// Get returns the last value of a key.
func (c messageCarrier) Get(key string) string {
	for _, a := range slices.Backward(c.ambient) {
		if strings.EqualFold(a.Key, key) {
			return a.Value
		}
	}
	return Carrier(c.Props().User).Get(key)
}

// Set replaces a key: trace context is single-valued.
func (c messageCarrier) Set(key, value string) {
	c.ambient = slices.DeleteFunc(c.ambient, func(a ambient) bool { return strings.EqualFold(a.Key, key) })
	c.ambient = append(c.ambient, ambient{session.UserProperty{Key: key, Value: value}, true})
}

// Keys lists the keys.
func (c messageCarrier) Keys() []string {
	keys := Carrier(c.Props().User).Keys()
	for _, a := range c.ambient {
		keys = append(keys, a.Key)
	}
	return keys
}
