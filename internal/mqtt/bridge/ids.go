package bridge

import (
	"cmp"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// idKey is the user property, and the CloudEvents attribute, of a message's id.
const idKey = "id"

// named reports whether the message has an id to be known by: as a user property,
// or as the CloudEvent that somebody made of it.
func (m *Message) named() bool {
	if m.id != "" || m.ID != (client.ID{}) {
		return true
	}
	return m.Properties != nil && (message.FormatOf(m.Properties.ContentType).IsEvent() || headerID(m.Properties.User) != "")
}

// headerID is the id among user properties, "" without one.
func headerID(list []client.UserProperty) string {
	if len(list) == 0 {
		return ""
	}
	id, _ := last(list, idKey)
	prefixed, _ := last(list, binaryPrefix+idKey)
	return cmp.Or(id, prefixed)
}

// name sets an id that the message had before.
func (m *Message) name(id string) {
	if u, err := uuid.Parse(id); err == nil && u.String() == id {
		m.ID = client.ID(u)
		return
	}
	if m.Properties == nil {
		m.Properties = new(client.Properties)
	}
	m.Properties.User = append(m.Properties.User, client.UserProperty{Key: idKey, Value: id})
}

// identity returns the id of a message as text, and a new one to the message that
// has none.
func (m *Message) identity() string {
	switch {
	case m.id != "":
	case m.Properties != nil && headerID(m.Properties.User) != "":
		m.id = headerID(m.Properties.User)
	case m.ID != (client.ID{}):
		m.id = m.ID.String()
	default:
		m.id = client.NewID().String()
	}
	return m.id
}
