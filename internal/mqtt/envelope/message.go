package envelope

import (
	"cmp"
	"context"
	"fmt"
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
	// Body is encoded by Codec.
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
	// SkipOutbox sends the message without storing it in an outbox.
	SkipOutbox bool
	// Due is when an outbox sends the message; zero means at once.
	Due time.Time
	// Encoded says that Payload is what is to be sent: Body, Codec, Headers and Context do
	// not count.
	Encoded bool
	// Method is the method of the generated client that publishes; nil without one.
	Method *event.MethodDesc
	// Again is what an outbox does while the broker has no subscriber for the message. It
	// takes precedence over the configuration and the method; nil leaves it to them.
	Again *event.Unrouted
	// Template is the topic template and Operation the operation of a generated publish, for
	// hooks and spans.
	Template, Operation string
	// Attempts counts how often the message was published within one call.
	Attempts int
	// Retries is how often a publish that failed for now is tried again. It takes
	// precedence over the settings; nil leaves it to them. With Done there is one attempt.
	Retries *int
	// Context are headers that come from the context of the publish, in the order in which
	// they get room. Nobody asked for them by name: what has no room is left out.
	Context []session.UserProperty
	// Transmit sends the message once instead of publishing it, without the context of the
	// caller. Replies are sent this way. If it is nil, the message is published.
	Transmit func(ctx context.Context, m *Message) error

	ambient []ambient // headers of the context
	added   int       // number of trailing user properties that the caller did not set
}

// Props returns the properties of the message, which may be changed. It makes them at the
// first call: most messages of bytes have none.
func (m *Message) Props() *session.Properties {
	if m.Properties == nil {
		m.Properties = new(session.Properties)
	}
	return m.Properties
}

// addHeader adds a header.
func (m *Message) addHeader(key, value string) {
	p := m.Props()
	p.User = append(p.User, session.UserProperty{Key: key, Value: value})
}

// Seal converts a message to its form on the wire, which is within all limits: body,
// headers, id, and the CloudEvent if the carrier is enabled. Ready bytes ([Message].Encoded)
// get an id only if [Settings] say so. version is that of the broker, as far as it is known.
// Seal does not keep m, which may stay on the stack of its caller.
func (s *Settings) Seal(m *Message, version session.Protocol) error {
	if !m.Encoded {
		if err := s.encode(m, s.Source == "" && version == session.Version31); err != nil {
			return err
		}
	}
	if s.Source != "" {
		m.Props()
	}
	if m.Properties != nil {
		if err := s.head(m); err != nil {
			return err
		}
	}
	if (!m.Encoded || s.IDs) && !m.Identified() {
		m.ID = session.NewID()
	}
	return s.checkPayload(&m.Message)
}

// head bounds the headers that the caller set, turns the message into a CloudEvent if the
// carrier is enabled, and adds the headers of the context that have room.
func (s *Settings) head(m *Message) error {
	if err := s.checkHeaders(m.Properties.User); err != nil {
		return failure("publish", m.Topic, event.ReasonBadRequest, err)
	}
	if err := CheckSent(m.Properties.User); err != nil {
		return failure("publish", m.Topic, event.ReasonTooLarge, err)
	}
	if s.Source != "" {
		if err := m.structure(s); err != nil {
			return FormError("publish", m.Topic, err)
		}
	}
	s.addAmbient(m)
	if m.bare() {
		m.Properties = nil
	}
	return nil
}

// encode encodes the body and takes the headers in. On MQTT 5 they become user properties,
// unless the carrier takes them; MQTT 3.1.1 without the carrier drops them: the message is
// bare then.
func (s *Settings) encode(m *Message, bare bool) (err error) {
	if m.Payload, err = marshal(m.Codec, m.Body); err != nil {
		return failure("publish", m.Topic, event.ReasonCodec, err)
	}
	if m.Codec != nil && m.Props().ContentType == "" {
		m.Properties.ContentType = contentType(m.Codec.Name())
	}
	n := len(m.Headers)
	if m.Properties != nil {
		n += len(m.Properties.User)
	}
	if n > 0 {
		p := m.Props()
		asked := p.User
		p.User = make([]session.UserProperty, 0, n+2)
		m.sortHeaders()
		p.User = append(p.User, asked...)
	}
	if m.MessageID != "" && (!m.IDKnown || !bare) {
		m.addHeader(idKey, m.MessageID)
	}
	if m.OrderKey != "" && !bare {
		m.addHeader(OrderHeader, m.OrderKey)
	}
	if s.SentAt && s.Source == "" && !bare {
		stampSent(m, time.Now())
	}
	for _, u := range m.Context {
		m.ambient = append(m.ambient, ambient{UserProperty: u})
	}
	if len(m.ambient) > 0 {
		m.Props()
	}
	return nil
}

// Check returns an error for a message that is ready to be sent, such as one of an outbox,
// and exceeds the limits.
func (s *Settings) Check(m *session.Message) error {
	if m.Properties != nil {
		if err := CheckHeaders(m.Properties.User); err != nil {
			return failure("publish", m.Topic, event.ReasonTooLarge, err)
		}
	}
	return s.checkPayload(m)
}

func (s *Settings) checkPayload(m *session.Message) error {
	if n, most := len(m.Payload), cmp.Or(s.MaxPayload, DefaultMaxPayload); n > most {
		return failure("publish", m.Topic, event.ReasonTooLarge, fmt.Errorf("payload of %d bytes, limit %d", n, most))
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
