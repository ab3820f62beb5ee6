package envelope

import (
	"cmp"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Event is a received message, as far as it has been read. It belongs to one attempt at
// the message and to one goroutine at a time.
type Event struct {
	*session.Inbound
	// Body is the decoded message, once [Event.Decode] has made it.
	Body any
	// Trusted is set if the sender may set the context of the handler.
	Trusted bool

	settings *Settings // nil until the event is read
	ce       *cloudEvent
	header   []session.UserProperty
	id       string // of the field that is declared as the id
}

// Open reads the headers and event attributes of the message in e.Inbound, and resets what
// was read before. deadLetter is set if the message is a dead letter, which is not
// unwrapped. With an error, e has what could be read; of a message over a limit that is
// only the payload.
func (s *Settings) Open(e *Event, deadLetter bool) error {
	in := e.Inbound
	e.settings, e.Body, e.Trusted, e.ce, e.header, e.id = s, nil, false, nil, nil, ""
	if err := s.checkLimits(in); err != nil {
		return err
	}
	if s.Source == "" && in.Properties == nil {
		return nil
	}
	ce, err := unwrap(in, s.Source != "", deadLetter)
	if ce != nil {
		if err := CheckHeaders(ce.attributes); err != nil {
			return failure("decode", in.Topic, event.ReasonTooLarge, err)
		}
	}
	e.ce, e.header = ce, headerOf(in, ce)
	return err
}

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
func (e *Event) Decode(own Codec, to any) error {
	body, err := decode(e.settings.CodecFor(own, e.ContentType(), to), e.Data(), to)
	if err != nil {
		return FormError("decode", e.Topic, err)
	}
	e.Body = body
	return nil
}

// Header returns the headers of the message, with all values of a key, in order.
func (e *Event) Header() []session.UserProperty { return e.header }

// Identify sets the id from the declared field of the message, which takes precedence over
// other ids; "" keeps the others.
func (e *Event) Identify(id string) { e.id = id }

// DeclaredID returns the id from the declared field of the message once it is decoded, or
// "" if there is none.
func (e *Event) DeclaredID() string { return e.id }

// ID returns the id of the message: the value of the declared field once the message is
// decoded, else the user property "id", else the id of the CloudEvent, else "".
func (e *Event) ID() string { return cmp.Or(e.id, HeaderID(e.header)) }

// Source returns the source of the CloudEvent if ID is the id of the event, which is
// unique within its source, and "" if ID is another id.
func (e *Event) Source() string {
	if e.id != "" {
		return ""
	}
	if _, binary := Last(e.header, attrSpecVersion); e.ce == nil && !binary {
		return ""
	}
	source, _ := Last(e.header, attrSource)
	return source
}

// Data returns the data of the message, without the event around it.
func (e *Event) Data() []byte {
	if e.ce != nil {
		return e.ce.data
	}
	return e.Payload
}

// ContentType returns the content type of the data, or "" if it is not known.
func (e *Event) ContentType() string {
	switch {
	case e.ce != nil:
		return e.ce.contentType
	case e.Properties != nil:
		return e.Properties.ContentType
	}
	return ""
}

// Reply returns the response topic, or "" if no reply is wanted, and the correlation data.
func (e *Event) Reply() (topic string, correlation []byte) {
	if p := e.Properties; p != nil && (p.ResponseTopic != "" || p.CorrelationData != nil) {
		return p.ResponseTopic, p.CorrelationData
	}
	if e.ce != nil {
		return e.ce.response, e.ce.correlation
	}
	return "", nil
}

// Deletes reports whether the message deletes a retained message [MQTT-3.3.1-10]: an empty
// message, which the broker passes on. An empty request is not a deletion but a bad
// request.
func (e *Event) Deletes() bool {
	topic, _ := e.Reply()
	return e.ce == nil && len(e.Payload) == 0 && topic == ""
}

// CloudEvent returns the attributes of a structured event, or nil if the message is not
// one.
func (e *Event) CloudEvent() []session.UserProperty {
	if e.ce == nil {
		return nil
	}
	return e.ce.attributes
}
