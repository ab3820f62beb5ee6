package envelope

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Event is a received message, as far as it has been read. It belongs to one attempt at
// the message and to one goroutine at a time.
type Event struct {
	*session.Inbound
	// Body is the decoded message, once [Settings.Decode] has made it.
	Body any

	around *around // nil for a message whose headers are its user properties
	id     string  // of the field that is declared as the id
}

// around is what a CloudEvent has around its data, in either of its modes. It is empty for
// a message over a limit, of which only the payload is read.
type around struct {
	*cloudEvent                        // nil in binary mode
	header      []session.UserProperty // see headerOf
}

// Open reads the headers and event attributes of the message in e.Inbound, and resets what
// was read before. deadLetter is set if the message is a dead letter, which is not
// unwrapped. With an error, e has what could be read; of a message over a limit that is
// only the payload.
func (s *Settings) Open(e *Event, deadLetter bool) error {
	in := e.Inbound
	e.Body, e.around, e.id = nil, nil, ""
	if err := s.checkLimits(in); err != nil {
		e.around = new(around)
		return err
	}
	if s.Source == "" && in.Properties == nil {
		return nil
	}
	ce, err := unwrap(in, s.Source != "", deadLetter)
	if ce != nil {
		if err := CheckHeaders(ce.attributes); err != nil {
			e.around = new(around)
			return failure("decode", in.Topic, event.ReasonTooLarge, err)
		}
	}
	if header, plain := headerOf(in, ce); !plain {
		e.around = &around{ce, header}
	}
	return err
}

// Read opens the message, see [Settings.Open], and decodes it with the codec own into what
// newBody returns, see [Settings.Decode]. With a nil newBody the body is the data. The error is
// [ErrDeletion] for an empty message that cannot be decoded and deletes a retained one.
func (s *Settings) Read(e *Event, deadLetter bool, own Codec, newBody func() any) error {
	if err := s.Open(e, deadLetter); err != nil {
		return err
	}
	if newBody == nil {
		e.Body = e.Data()
		return nil
	}
	err := s.Decode(e, own, newBody())
	if err != nil && e.Deletes() {
		return ErrDeletion
	}
	return err
}

// ErrDeletion is the error of [Settings.Read] for a message that deletes a retained one.
var ErrDeletion = errors.New("no payload")

// checkLimits returns an error for a message that is not read at all.
func (s *Settings) checkLimits(in *session.Inbound) error {
	if err := in.IllFormed(); err != nil {
		return failure("decode", in.Topic, event.ReasonCodec, err)
	}
	if err := in.OverLimit(); err != nil {
		return failure("decode", in.Topic, event.ReasonTooLarge, fmt.Errorf("%w: its payload was not kept", err))
	}
	limit := cmp.Or(s.MaxInbound, DefaultMaxPayload)
	if n := len(in.Payload); n > limit {
		return failure("decode", in.Topic, event.ReasonTooLarge, fmt.Errorf("payload of %d bytes, want at most %d", n, limit))
	}
	if in.Properties != nil {
		if err := CheckHeaders(in.Properties.User); err != nil {
			return failure("decode", in.Topic, event.ReasonTooLarge, err)
		}
	}
	return nil
}

// Decode decodes the data of the message into the value of a binder, with the codec that
// the content type names, or else with own, the codec of the subscription.
func (s *Settings) Decode(e *Event, own Codec, to any) error {
	body, err := decode(s.CodecFor(own, e.ContentType(), to), e.Data(), to)
	if err != nil {
		return FormError("decode", e.Topic, err)
	}
	e.Body = body
	return nil
}

// Header returns the headers of the message, with all values of a key, in order.
func (e *Event) Header() []session.UserProperty {
	switch {
	case e.around != nil:
		return e.around.header
	case e.Properties == nil:
		return nil
	}
	return e.Properties.User
}

// RequestHeader returns the header for code that takes context from it, such as Kratos'
// middleware for metadata and tracing. Unless the sender is trusted, it has no trace
// context, no baggage, and only the allowed metadata.
func (s *Settings) RequestHeader(e *Event, trusted bool) []session.UserProperty {
	header := e.Header()
	if trusted || !slices.ContainsFunc(header, s.Trust.isContext) {
		return header
	}
	t := &s.Trust
	list := make([]session.UserProperty, 0, len(header))
	for _, u := range header {
		name := strings.ToLower(u.Key)
		switch {
		case t.propagates(name):
		case strings.HasPrefix(name, MetadataPrefix) && !t.allows(name):
			s.Losses.Metadata.Add(1)
		default:
			list = append(list, u)
		}
	}
	return list
}

// structured returns the event that the payload is, or nil.
func (e *Event) structured() *cloudEvent {
	if e.around == nil {
		return nil
	}
	return e.around.cloudEvent
}

// Identify sets the id from the declared field of the message, which takes precedence over
// other ids; "" keeps the others.
func (e *Event) Identify(id string) { e.id = id }

// DeclaredID returns the id from the declared field of the message once it is decoded, or
// "" if there is none.
func (e *Event) DeclaredID() string { return e.id }

// ID returns the id of the message: the value of the declared field once the message is
// decoded, else the user property "id", else the id of the CloudEvent, else "".
func (e *Event) ID() string { return cmp.Or(e.id, HeaderID(e.Header())) }

// Source returns the source of the CloudEvent if ID is the id of the event, which is
// unique within its source, and "" if ID is another id.
func (e *Event) Source() string {
	if e.id != "" {
		return ""
	}
	if _, binary := Last(e.Header(), attrSpecVersion); e.structured() == nil && !binary {
		return ""
	}
	source, _ := Last(e.Header(), attrSource)
	return source
}

// Data returns the data of the message, without the event around it.
func (e *Event) Data() []byte {
	if ce := e.structured(); ce != nil {
		return ce.data
	}
	return e.Payload
}

// ContentType returns the content type of the data, or "" if it is not known.
func (e *Event) ContentType() string {
	if ce := e.structured(); ce != nil {
		return ce.contentType
	}
	if e.Properties != nil {
		return e.Properties.ContentType
	}
	return ""
}

// Reply returns the response topic, or "" if no reply is wanted, and the correlation data.
func (e *Event) Reply() (topic string, correlation []byte) {
	if p := e.Properties; p != nil && (p.ResponseTopic != "" || p.CorrelationData != nil) {
		return p.ResponseTopic, p.CorrelationData
	}
	if ce := e.structured(); ce != nil {
		return ce.response, ce.correlation
	}
	return "", nil
}

// Deletes reports whether the message deletes a retained message [MQTT-3.3.1-10]: an empty
// message, which the broker passes on. An empty request is not a deletion but a bad
// request.
func (e *Event) Deletes() bool {
	topic, _ := e.Reply()
	return e.structured() == nil && len(e.Payload) == 0 && topic == ""
}

// CloudEvent returns the attributes of a structured event, or nil if the message is not
// one.
func (e *Event) CloudEvent() []session.UserProperty {
	ce := e.structured()
	if ce == nil {
		return nil
	}
	return ce.attributes
}
