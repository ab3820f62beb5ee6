package session

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"

// Stamp completes a message when it is sent, because its place among the
// messages of its topic is known only then. It is called with a lock held and
// must be quick.
type Stamp interface {
	// Apply changes the copy m, which is sent. It may be called several times before
	// Sent. headers reports whether user properties are sent.
	Apply(m *Message, headers bool)
	// Sent is called when the result of the last Apply is being sent or will be
	// sent.
	Sent()
}

// stamped returns the message to send.
func (m *Message) stamped(v wire.Version) *Message {
	if m.Stamp == nil {
		return m
	}
	out := new(Message) // allocate a copy, because m itself is on the caller's stack
	*out = *m
	m.Stamp.Apply(out, v == wire.V5)
	return out
}

// sent calls the stamp's Sent.
func (m *Message) sent() {
	if m.Stamp != nil {
		m.Stamp.Sent()
	}
}
