package bridge

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Message is a message on its way out, in its form on the wire.
type Message struct {
	client.Message
	// Key names the order that the message belongs to in an outbox; "" is the
	// topic.
	Key string
	// RetryUnrouted is for how long an outbox sends it again while the broker has
	// no subscriber for it; 0 is not at all.
	RetryUnrouted time.Duration
	// Direct sends it past the outbox.
	Direct bool

	answer  *Answer // to a request; nil is none
	id      string  // where it is known as text
	ambient int     // how many of the last user properties nobody asked for
}

// size is about what the message takes on the wire, in bytes.
func (m *Message) size() int {
	n := len(m.Topic) + len(m.Payload)
	if p := m.Properties; p != nil {
		n += len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
		for _, u := range p.User {
			n += len(u.Key) + len(u.Value)
		}
	}
	return n
}
