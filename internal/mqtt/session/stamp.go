package session

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"

// Stamp completes a message at the moment of its sending, which is when its
// place among the others of its topic is settled. It is called with a lock held
// and must be quick.
type Stamp interface {
	// Apply changes what is sent; m is a copy. It may be called again until Sent.
	// headers says that user properties are sent.
	Apply(m *Message, headers bool)
	// Sent says that what the last Apply made is on its way, or will be.
	Sent()
}

// stamped returns the message to send.
func (m *Message) stamped(v wire.Version) *Message {
	if m.Stamp == nil {
		return m
	}
	out := new(Message) // m itself is on the caller's stack
	*out = *m
	m.Stamp.Apply(out, v == wire.V5)
	return out
}

// sent tells the stamp.
func (m *Message) sent() {
	if m.Stamp != nil {
		m.Stamp.Sent()
	}
}
