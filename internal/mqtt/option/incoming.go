package option

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// incoming is a message before it is decoded.
type incoming struct{ m *client.Inbound }

var _ event.Incoming = incoming{}

// Topic implements [event.Incoming].
func (i incoming) Topic() string { return i.m.Topic }

// Payload implements [event.Incoming].
func (i incoming) Payload() []byte { return i.m.Payload }

// Header implements [event.Incoming].
func (i incoming) Header(name string) string {
	if i.m.Properties == nil {
		return ""
	}
	v, _ := envelope.Last(i.m.Properties.User, name)
	return v
}

// OrderOf returns the function of a subscription for the user's, which may be nil.
func OrderOf(key func(event.Incoming) string) func(*client.Inbound) string {
	if key == nil {
		return nil
	}
	return func(m *client.Inbound) string { return key(incoming{m}) }
}
