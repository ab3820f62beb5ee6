// Package display decodes messages that arrived and shows them: as text, as JSON, by a
// template, and as the difference to the message before. It selects them by conditions.
package display

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// Arrival is a message as it arrived.
type Arrival struct {
	Time time.Time
	// Published is the message as the broker delivered it.
	Published message.Message
	Duplicate bool
	ID        string
	// Data is the payload without the CloudEvent around it, and ContentType that of Data.
	// Headers are those of the message and the attributes of the CloudEvent.
	Data        []byte
	ContentType string
	Headers     []message.Header
	// Problem is why a service would not handle the message, or "".
	Problem string
}

// Message is a decoded message. Its JSON is what scripts read: names stay as they are.
type Message struct {
	Time  time.Time `json:"time"`
	Topic string    `json:"topic"`
	// Operation is /pkg.Service/Method, or "" if no declared operation has the topic.
	Operation string `json:"operation,omitempty"`
	// Decoder is the name of what decoded the payload, see package decode. Note is why
	// nothing better did, or what else is wrong with the message.
	Decoder string `json:"decoder"`
	Note    string `json:"note,omitempty"`
	// Payload is the value of the payload: JSON, or a text as a JSON string. It is empty if
	// Bytes is set, which is a payload that is not text.
	Payload     json.RawMessage     `json:"payload,omitempty"`
	Bytes       []byte              `json:"payload_base64,omitempty"`
	Size        int                 `json:"size"`
	QoS         byte                `json:"qos"`
	Retained    bool                `json:"retained"`
	Duplicate   bool                `json:"duplicate"`
	ID          string              `json:"id,omitempty"`
	ContentType string              `json:"content_type,omitempty"`
	Headers     map[string][]string `json:"headers,omitempty"`
	// Changes are the differences to the message before, if they were asked for and there was
	// one.
	Changes []Change `json:"changes,omitempty"`
	// Same is set if a difference was asked for and there is none.
	Same bool `json:"same,omitempty"`

	text    string // of the payload, as it is shown
	data    []byte
	headers []message.Header // in order
}

// Reader decodes messages by the operations that files declare. It is safe for concurrent use.
type Reader struct {
	decoder decode.Decoder
	methods eventproto.Methods
	as      *eventproto.Method // decodes everything, if not nil
}

// NewReader returns a reader. With as, it decodes every message as one of that operation,
// otherwise each topic has its operations.
func NewReader(files *protoregistry.Files, methods eventproto.Methods, as *eventproto.Method) *Reader {
	return &Reader{decoder: decode.New(files), methods: methods, as: as}
}

// Read decodes a message, which must not be changed afterwards.
func (r *Reader) Read(a Arrival) *Message {
	m := &Message{
		Time: a.Time, Topic: a.Published.Topic, QoS: a.Published.QoS, Retained: a.Published.Retain, Duplicate: a.Duplicate, ID: a.ID, ContentType: a.ContentType,
		Size: len(a.Published.Payload), data: a.Data, headers: a.Headers,
	}
	for _, h := range a.Headers {
		if m.Headers == nil {
			m.Headers = make(map[string][]string)
		}
		m.Headers[h.Key] = append(m.Headers[h.Key], h.Value)
	}
	m.decode(r, a)
	return m
}

func (m *Message) decode(r *Reader, a Arrival) {
	var readable decode.Readable
	readable, m.Operation = r.readable(a)
	m.Decoder, m.Note, m.text = readable.Decoder, readable.Note, readable.Text
	if a.Problem != "" {
		m.Note = a.Problem
	}
	switch {
	case m.Decoder == decode.Raw:
		m.Bytes = a.Data
	case m.IsJSON():
		var line bytes.Buffer
		if json.Compact(&line, []byte(m.text)) == nil { // protojson's spaces differ from build to build
			m.text = line.String()
		}
		m.Payload = json.RawMessage(m.text)
	default:
		m.Payload = quoted(m.text)
	}
}

// readable decodes by the operation of the topic. Where several have it, the first whose
// message the payload is counts.
func (r *Reader) readable(a Arrival) (decode.Readable, string) {
	p := decode.Payload{Bytes: a.Data, ContentType: a.ContentType}
	methods := eventproto.Methods{r.as}
	if r.as == nil {
		methods = r.methods.Of(a.Published.Topic)
	}
	var worse decode.Readable
	for i, method := range methods {
		p.Operation = method.Operation
		readable := r.decoder.Decode(p)
		if readable.Decoder == decode.JSON || strings.HasPrefix(readable.Decoder, decode.Proto) || len(a.Data) == 0 {
			return readable, p.Operation
		}
		if i == 0 {
			worse = readable
		}
	}
	if len(methods) > 0 {
		return worse, methods[0].Operation
	}
	readable := r.decoder.Decode(p)
	readable.Note = "" // without an operation the reason is obvious
	return readable, ""
}

// IsJSON reports whether the payload is shown as JSON.
func (m *Message) IsJSON() bool {
	return m.Decoder == decode.JSON || m.Decoder == decode.Fields || strings.HasPrefix(m.Decoder, decode.Proto)
}

// Text returns the payload as text: JSON, or the text itself, or "" for bytes.
func (m *Message) Text() string { return m.text }
