package envelope

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Message is a message on its way out: first what the caller asks for, and after
// [Settings.Seal] its form on the wire. It belongs to one goroutine at a time.
type Message struct {
	session.Message
	// Body is what Codec encodes. It has no effect on ready bytes, which are in
	// Payload.
	Body any
	// Codec encodes the body; nil takes bytes and a text as they are.
	Codec Codec
	// Headers are sent in the order of their names, before the user properties.
	Headers map[string]string
	// MessageID is the id as text, over a header of that name. "" is that header's,
	// or else a new one.
	MessageID string
	// Key names the order that the message belongs to in an outbox; "" is the topic.
	Key string
	// OrderKey is sent as [OrderHeader] where there is room for headers.
	OrderKey string
	// IDKnown says that the body has the id itself, so that no header is needed
	// where there is no room for one.
	IDKnown bool
	// RetryUnrouted is for how long an outbox sends the message again while the
	// broker has no subscriber for it; 0 is not at all.
	RetryUnrouted time.Duration
	// Direct sends it past the outbox.
	Direct bool
	// Transmit sends the message in the place of a publish, once, and without the
	// context of whoever asked for it: a reply goes out this way. Nil publishes it.
	Transmit func(ctx context.Context, m *Message) error

	props   session.Properties // that Properties point to, unless they are the caller's
	ambient []ambient          // headers of the context
	added   int                // how many of the last user properties nobody asked for
}

// Props returns the properties of the message, to be changed.
func (m *Message) Props() *session.Properties {
	if m.Properties == nil {
		m.Properties = &m.props
	}
	return m.Properties
}

// addHeader adds a header.
func (m *Message) addHeader(key, value string) {
	p := m.Props()
	p.User = append(p.User, session.UserProperty{Key: key, Value: value})
}

// Encode encodes the body and collects the headers that were asked for. On MQTT 5
// they are user properties, unless the carrier takes them; 3.1.1 has no place for
// either. [Settings.Seal] comes next.
func (s *Settings) Encode(m *Message) (err error) {
	if m.Payload, err = marshal(m.Codec, m.Body); err != nil {
		return failure("publish", m.Topic, event.ReasonCodec, err)
	}
	p := m.Props()
	if p.ContentType == "" && m.Codec != nil {
		p.ContentType = contentType(m.Codec.Name())
	}
	if n := len(m.Headers) + len(p.User); n > 0 {
		asked := p.User
		p.User = make([]session.UserProperty, 0, n+2)
		m.sortHeaders()
		p.User = append(p.User, asked...)
	}
	bare := s.bare()
	if m.MessageID != "" && (!m.IDKnown || !bare) {
		m.addHeader(idKey, m.MessageID)
	}
	if m.OrderKey != "" && !bare {
		m.addHeader(OrderHeader, m.OrderKey)
	}
	return nil
}

// sortHeaders adds the headers in the order of their names, so that equal messages
// are equal on the wire. The id of a message counts over a header of that name.
func (m *Message) sortHeaders() {
	for _, key := range slices.Sorted(maps.Keys(m.Headers)) {
		if m.MessageID == "" || !strings.EqualFold(key, idKey) {
			m.addHeader(key, m.Headers[key])
		}
	}
}

// Seal gives an encoded message its form on the wire, with the headers of ctx.
func (s *Settings) Seal(ctx context.Context, m *Message) error {
	p := m.Props()
	if err := s.checkHeaders(p.User); err != nil {
		return failure("publish", m.Topic, event.ReasonBadRequest, err)
	}
	if m.Transmit == nil && s.Metadata != nil {
		for _, u := range s.Metadata(ctx) {
			m.ambient = append(m.ambient, ambient{UserProperty: u})
		}
	}
	if s.Source != "" {
		if err := m.structure(s); err != nil {
			return FormError("publish", m.Topic, err)
		}
	}
	if err := CheckSent(p.User); err != nil {
		return failure("publish", m.Topic, event.ReasonTooLarge, err)
	}
	s.addAmbient(m)
	if m.bare() {
		m.Properties = nil
	}
	if !m.Identified() {
		m.ID = session.NewID()
	}
	return nil
}

// SealBytes returns ready bytes in their form on the wire: in the carrier, when
// there is one. The context adds nothing. m stays as it is, but for its id.
func (s *Settings) SealBytes(m *Message) (*Message, error) {
	if m.Properties != nil {
		if err := s.checkHeaders(m.Properties.User); err != nil {
			return nil, failure("publish", m.Topic, event.ReasonBadRequest, err)
		}
		if err := CheckSent(m.Properties.User); err != nil {
			return nil, failure("publish", m.Topic, event.ReasonTooLarge, err)
		}
	}
	if s.Source == "" {
		if s.IDs && !m.Identified() {
			m.ID = session.NewID()
		}
		return m, nil
	}
	sealed := *m
	if m.Properties != nil {
		sealed.props = *m.Properties
	}
	sealed.Properties = &sealed.props
	if err := sealed.structure(s); err != nil {
		return nil, FormError("publish", m.Topic, err)
	}
	return &sealed, nil
}

// bare reports whether there is nothing to carry.
func (m *Message) bare() bool {
	p := m.Properties
	return p.ContentType == "" && p.Expiry == 0 && p.ResponseTopic == "" && p.CorrelationData == nil && len(p.User) == 0
}

// typeName is the type of an event: the full name of a protobuf message.
func (m *Message) typeName() string {
	if b, ok := m.Body.(proto.Message); ok {
		return string(b.ProtoReflect().Descriptor().FullName())
	}
	return "bytes"
}

// Size is about what the message takes on the wire, in bytes.
func (m *Message) Size() int {
	n := len(m.Topic) + len(m.Payload)
	if p := m.Properties; p != nil {
		n += len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
		for _, u := range p.User {
			n += len(u.Key) + len(u.Value)
		}
	}
	return n
}
