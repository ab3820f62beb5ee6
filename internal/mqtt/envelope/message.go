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

// Message is an outgoing message: first as the caller sets it, and after [Settings.Seal]
// in its form on the wire. It belongs to one goroutine at a time.
type Message struct {
	session.Message
	// Body is encoded by Codec. It is ignored for messages that are encoded already, whose
	// bytes are in Payload.
	Body any
	// Codec encodes the body; nil sends bytes and strings as they are.
	Codec Codec
	// Headers are sent in the order of their names, before the user properties.
	Headers map[string]string
	// MessageID is the id as text. It takes precedence over a header of that name; if it
	// is "", the id is that of the header, or a new one.
	MessageID string
	// Key is the ordering key of the message in an outbox; "" means the topic.
	Key string
	// OrderKey is sent as [OrderHeader] if the protocol has headers.
	OrderKey string
	// IDKnown is set if the body contains the id, so that no header is needed on a
	// protocol without headers.
	IDKnown bool
	// RetryUnrouted is how long an outbox sends the message again while the broker has no
	// subscriber for it; 0 means that it is sent once.
	RetryUnrouted time.Duration
	// Direct bypasses the outbox.
	Direct bool
	// Transmit sends the message once instead of publishing it, without the context of the
	// caller. Replies are sent this way. If it is nil, the message is published.
	Transmit func(ctx context.Context, m *Message) error

	props   session.Properties // the target of Properties, unless the caller set its own
	ambient []ambient          // headers of the context
	added   int                // number of trailing user properties that the caller did not set
}

// Props returns the properties of the message, which may be changed.
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

// Encode encodes the body and collects the headers that the caller set. On MQTT 5 they
// become user properties, unless the carrier takes them; MQTT 3.1.1 without the carrier
// drops them. [Settings.Seal] is called next.
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

// sortHeaders adds the headers in the order of their names, so that equal messages are
// equal on the wire. MessageID takes precedence over a header of that name.
func (m *Message) sortHeaders() {
	for _, key := range slices.Sorted(maps.Keys(m.Headers)) {
		if m.MessageID == "" || !strings.EqualFold(key, idKey) {
			m.addHeader(key, m.Headers[key])
		}
	}
}

// Seal converts an encoded message to its form on the wire, with the headers of ctx.
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

// SealBytes returns a message that is encoded already in its form on the wire: in the
// carrier, if it is enabled. It adds no headers of a context. It changes nothing of m
// except the id.
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

// bare reports whether the message has no headers to carry.
func (m *Message) bare() bool {
	p := m.Properties
	return p.ContentType == "" && p.Expiry == 0 && p.ResponseTopic == "" && p.CorrelationData == nil && len(p.User) == 0
}

// typeName returns the type of an event: the full name of a protobuf message.
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
