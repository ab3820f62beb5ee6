package mqtt

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// MessageOption says how one message of a [Publisher] is sent.
type MessageOption interface{ apply(m *bridge.Message) }

type qosOption byte

func (q qosOption) apply(m *bridge.Message) { m.QoS = byte(q) }

// QoS sets the quality of service: 0, 1 or 2; others are an error of the
// publish. Default: 1.
func QoS(qos byte) MessageOption { return qosOption(qos) }

type retainOption bool

func (r retainOption) apply(m *bridge.Message) { m.Retain = bool(r) }

// Retain asks the broker to keep the message for later subscribers. Default:
// false.
func Retain(retain bool) MessageOption { return retainOption(retain) }

type propertyOption func(p *client.Properties)

func (set propertyOption) apply(m *bridge.Message) {
	if m.Properties == nil {
		m.Properties = new(client.Properties)
	}
	set(m.Properties)
}

// Expiry is how long the broker may keep the message for a subscriber that is
// away, in whole seconds, rounded up. MQTT 5 only. Default: for ever.
func Expiry(d time.Duration) MessageOption {
	return propertyOption(func(p *client.Properties) { p.Expiry = d })
}

// ContentType names the encoding of the payload. MQTT 5 only. Default: none.
func ContentType(name string) MessageOption {
	return propertyOption(func(p *client.Properties) { p.ContentType = name })
}

// UserProperty adds a user property; a key may be given again. MQTT 5 only.
func UserProperty(key, value string) MessageOption {
	return propertyOption(func(p *client.Properties) {
		p.User = append(p.User, client.UserProperty{Key: key, Value: value})
	})
}

// MessageID sets the id of the message, as the user property "id" on MQTT 5 and
// as the id of its CloudEvent: whoever handles it knows it again. Default: none,
// a UUIDv7 with [WithMessageIDs], an outbox, or [WithCloudEvents].
func MessageID(id string) MessageOption { return UserProperty("id", id) }

type orderOption string

func (k orderOption) apply(m *bridge.Message) { m.Key = string(k) }

// OrderingKey names the order that the message belongs to in an outbox. Default:
// the topic. Without an outbox it has no effect.
func OrderingKey(key string) MessageOption { return orderOption(key) }

type unroutedOption time.Duration

func (d unroutedOption) apply(m *bridge.Message) { m.RetryUnrouted = time.Duration(d) }

// RetryUnrouted has an outbox send the message again, as long as the broker has
// no subscriber for it and at most for maxAge after its acceptance; 0 is
// event.DefaultUnroutedAge. MQTT 5. Default: it counts as delivered. Without an
// outbox it has no effect.
func RetryUnrouted(maxAge time.Duration) MessageOption {
	return unroutedOption((&event.Unrouted{Retry: true, MaxAge: maxAge}).RetryFor())
}

type directOption struct{}

func (directOption) apply(m *bridge.Message) { m.Direct = true }

// Direct sends the message past the outbox, and does not wait behind what is in
// there. Without an outbox it has no effect.
func Direct() MessageOption { return directOption{} }
