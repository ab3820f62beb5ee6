package envelope

import (
	"cmp"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// idKey is the user property, and the CloudEvents attribute, of a message's id.
const idKey = "id"

// Identified reports whether the message has an id to be known by: as a user property,
// or as the CloudEvent that somebody made of it.
func (m *Message) Identified() bool {
	if m.MessageID != "" || m.ID != (session.ID{}) {
		return true
	}
	return m.Properties != nil && (message.FormatOf(m.Properties.ContentType).IsEvent() || HeaderID(m.Properties.User) != "")
}

// HeaderID is the id among user properties, "" without one.
func HeaderID(list []session.UserProperty) string {
	if len(list) == 0 {
		return ""
	}
	id, _ := Last(list, idKey)
	prefixed, _ := Last(list, binaryPrefix+idKey)
	return cmp.Or(id, prefixed)
}

// Identify sets an id that the message had before.
func (m *Message) Identify(id string) {
	if u, err := uuid.Parse(id); err == nil && u.String() == id {
		m.ID = session.ID(u)
		return
	}
	m.addHeader(idKey, id)
}

// Identity returns the id of a message as text, and a new one to the message that
// has none.
func (m *Message) Identity() string {
	if m.MessageID = m.SentID(); m.MessageID == "" {
		m.MessageID = session.NewID().String()
	}
	return m.MessageID
}

// SentID returns the id that the message is sent with beside its payload, or "".
func (m *Message) SentID() string {
	switch {
	case m.MessageID != "":
		return m.MessageID
	case m.Properties != nil && HeaderID(m.Properties.User) != "":
		return HeaderID(m.Properties.User)
	case m.ID != (session.ID{}):
		return m.ID.String()
	}
	return ""
}
