package bridge

import (
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// header returns everything that came beside the payload, in order: the
// attributes of a structured event, then the user properties. Attributes that
// were sent with a prefix are there without it, too.
func header(d *client.Delivery, ce *cloudEvent) []client.UserProperty {
	var own []client.UserProperty
	if d.Properties != nil {
		own = d.Properties.User
	}
	if ce != nil {
		return slices.Concat(ce.attributes, own)
	}
	if _, ok := last(own, binaryPrefix+attrSpecVersion); !ok {
		return own
	}
	var plain []client.UserProperty
	for _, u := range own {
		if name, ok := strings.CutPrefix(strings.ToLower(u.Key), binaryPrefix); ok && name != "" {
			plain = append(plain, client.UserProperty{Key: name, Value: u.Value})
		}
	}
	return slices.Concat(plain, own)
}

// last returns the last value of a key, whatever the case of it, which is the one
// that counts where there is room for one only.
func last(list []client.UserProperty, key string) (string, bool) {
	for _, l := range slices.Backward(list) {
		if strings.EqualFold(l.Key, key) {
			return l.Value, true
		}
	}
	return "", false
}

// incomingCarrier is where trace context comes from.
type incomingCarrier []client.UserProperty

var _ propagation.TextMapCarrier = incomingCarrier(nil)

// Get returns the last value of a key.
func (c incomingCarrier) Get(key string) string {
	v, _ := last(c, key)
	return v
}

// Set does nothing: a message that arrived does not change.
func (c incomingCarrier) Set(string, string) {}

// Keys lists the keys.
func (c incomingCarrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for _, u := range c {
		keys = append(keys, u.Key)
	}
	return keys
}

// draftCarrier is where trace context goes to.
type draftCarrier struct{ *draft }

var _ propagation.TextMapCarrier = draftCarrier{}

// Get returns the last value of a key.
func (c draftCarrier) Get(key string) string {
	for _, a := range slices.Backward(c.ambient) {
		if strings.EqualFold(a.Key, key) {
			return a.Value
		}
	}
	return incomingCarrier(c.props.User).Get(key)
}

// Set replaces a key: trace context is single-valued.
func (c draftCarrier) Set(key, value string) {
	c.ambient = slices.DeleteFunc(c.ambient, func(a ambient) bool { return strings.EqualFold(a.Key, key) })
	c.ambient = append(c.ambient, ambient{client.UserProperty{Key: key, Value: value}, true})
}

// Keys lists the keys.
func (c draftCarrier) Keys() []string {
	keys := incomingCarrier(c.props.User).Keys()
	for _, a := range c.ambient {
		keys = append(keys, a.Key)
	}
	return keys
}
