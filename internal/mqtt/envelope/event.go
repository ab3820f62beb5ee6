package envelope

import (
	"cmp"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Event is a message that arrived, as far as it is read. It belongs to one attempt
// at the message and to one goroutine at a time.
type Event struct {
	*session.Inbound
	// Body is the decoded message, once [Event.Decode] has made it.
	Body any
	// Trusted says that the sender may set the context of the handler.
	Trusted bool

	settings *Settings // nil until the event is read
	ce       *cloudEvent
	header   []session.UserProperty
	id       string // of the field that is declared for it
}

// Open reads what came beside the payload of the message that e has in Inbound, and
// forgets what was read of it before. deadLetter says that the message is a dead
// letter, which is shown as it was. With an error e has what could be read; of a
// message over a limit that is nothing but the payload.
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

// checkLimits refuses what is not read at all.
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

// Decode decodes the data of the message into what a binder made, with the codec that
// the content type names, or else own, the subscription's.
func (e *Event) Decode(own Codec, to any) error {
	body, err := decode(e.settings.CodecFor(own, e.ContentType(), to), e.Data(), to)
	if err != nil {
		return FormError("decode", e.Topic, err)
	}
	e.Body = body
	return nil
}

// Header is what came beside the payload, with all values of a key, in order.
func (e *Event) Header() []session.UserProperty { return e.header }

// Identify sets the id that a field of the message says, which counts over others;
// "" leaves the others.
func (e *Event) Identify(id string) { e.id = id }

// DeclaredID is the id that a field of the message says, once it is decoded; "" is
// none.
func (e *Event) DeclaredID() string { return e.id }

// ID is the message's id: that of the field that is declared for it, once the
// message is decoded, else its user property "id", else the id of its CloudEvent,
// else "".
func (e *Event) ID() string { return cmp.Or(e.id, HeaderID(e.header)) }

// Source is that of a CloudEvent whose id counts, which is unique within it; ""
// where another id counts.
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

// Data is the data of the message, without the event around it.
func (e *Event) Data() []byte {
	if e.ce != nil {
		return e.ce.data
	}
	return e.Payload
}

// ContentType names the encoding of the data; "" is not known.
func (e *Event) ContentType() string {
	switch {
	case e.ce != nil:
		return e.ce.contentType
	case e.Properties != nil:
		return e.Properties.ContentType
	}
	return ""
}

// Reply returns where a reply is wanted, "" for nowhere, and what ties it to the
// request.
func (e *Event) Reply() (topic string, correlation []byte) {
	if p := e.Properties; p != nil && (p.ResponseTopic != "" || p.CorrelationData != nil) {
		return p.ResponseTopic, p.CorrelationData
	}
	if e.ce != nil {
		return e.ce.response, e.ce.correlation
	}
	return "", nil
}

// Deletes reports whether the message is what MQTT deletes a retained message
// with [MQTT-3.3.1-10]: an empty one, which the broker passes on. An empty
// request is a bad one.
func (e *Event) Deletes() bool {
	topic, _ := e.Reply()
	return e.ce == nil && len(e.Payload) == 0 && topic == ""
}

// CloudEvent returns the attributes of a structured event; nil is another message.
func (e *Event) CloudEvent() []session.UserProperty {
	if e.ce == nil {
		return nil
	}
	return e.ce.attributes
}
