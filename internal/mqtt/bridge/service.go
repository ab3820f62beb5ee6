package bridge

import (
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Log is the logger.
func (b *Broker) Log() client.Logger { return b.state().log }

// Problem is why the options cannot work; nil when they can.
func (b *Broker) Problem() error { return b.state().err }

// ClientID is the configured one.
func (b *Broker) ClientID() string { return b.state().cfg.ClientID }

// CannotReply says that requests have no place for a response topic here, as
// far as the protocol is known.
func (b *Broker) CannotReply() bool {
	s := b.state()
	return s.err == nil && s.envelope.Source == "" && s.client.Speaks() == client.Version31
}

// Presence are the retained messages that say whether a client is there, in
// JSON.
type Presence struct {
	Topic   string
	QoS     byte
	Online  func(since time.Time) ([]byte, error)
	Offline []byte
}

// Announce has the client tell of itself from the next Start on. A configured
// will is an error: a connection has one.
func (b *Broker) Announce(p *Presence) error {
	s := b.state()
	if s.err != nil {
		return s.err
	}
	message := func(payload []byte) *client.Message {
		return &client.Message{
			Topic: p.Topic, Payload: payload, QoS: p.QoS, Retain: true,
			Properties: &client.Properties{ContentType: message.TypeJSON},
		}
	}
	return s.client.Announce(&client.Presence{
		Offline: message(p.Offline),
		Online: func(since time.Time) (*client.Message, error) {
			payload, err := p.Online(since)
			return message(payload), err
		},
	})
}

// Configured is what the configuration says of one operation; nil is nothing.
func (b *Broker) Configured(operation string) *v1.Subscription {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.settings.subscriber.GetSubscriptions()[operation]
}
