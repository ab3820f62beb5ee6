package mqtt

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// MessageOption says how one message of a [Publisher] is sent.
type MessageOption interface{ apply(m *engine.Message) }

type qosOption byte

func (q qosOption) apply(m *engine.Message) { m.QoS = byte(q) }

// QoS sets the quality of service: 0, 1 or 2; others are an error of the
// publish. Default: 1.
func QoS(qos byte) MessageOption { return qosOption(qos) }

type retainOption bool

func (r retainOption) apply(m *engine.Message) { m.Retain = bool(r) }

// Retain asks the broker to keep the message for later subscribers. Default:
// false.
func Retain(retain bool) MessageOption { return retainOption(retain) }

type propertyOption func(p *engine.Properties)

func (set propertyOption) apply(m *engine.Message) {
	if m.Properties == nil {
		m.Properties = new(engine.Properties)
	}
	set(m.Properties)
}

// Expiry is how long the broker may keep the message for a subscriber that is
// away, in whole seconds, rounded up. MQTT 5 only. Default: for ever.
func Expiry(d time.Duration) MessageOption {
	return propertyOption(func(p *engine.Properties) { p.Expiry = d })
}

// ContentType names the encoding of the payload. MQTT 5 only. Default: none.
func ContentType(name string) MessageOption {
	return propertyOption(func(p *engine.Properties) { p.ContentType = name })
}

// UserProperty adds a user property; a key may be given again. MQTT 5 only.
func UserProperty(key, value string) MessageOption {
	return propertyOption(func(p *engine.Properties) {
		p.User = append(p.User, engine.UserProperty{Key: key, Value: value})
	})
}
