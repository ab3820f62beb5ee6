package decode

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
)

// Names of decoders. The name of a message follows Proto.
const (
	Proto = "proto "
	JSON  = "json"
	Text  = "text"
	// Fields shows the numbers and values of fields without knowing the message.
	Fields = "fields"
	// Raw has no text.
	Raw = "raw"
)

// Payload is what arrived.
type Payload struct {
	Bytes       []byte
	ContentType string
	// Operation is /pkg.Service/Method; its input is the message of the payload. It may be "".
	Operation string
}

// Readable is a payload as text.
type Readable struct {
	// Decoder is what decoded it: one of the names above.
	Decoder string
	// Text is JSON unless the decoder is [Text] or [Raw].
	Text string
	// Note is the reason why nothing better decoded it, or "".
	Note string
}

// Decoder decodes by the messages that its files declare. It is safe for concurrent use.
type Decoder struct{ files *protoregistry.Files }

// New returns a decoder for the operations and messages of files.
func New(files *protoregistry.Files) Decoder { return Decoder{files: files} }

// Decode returns a payload as text.
func (d Decoder) Decode(p Payload) Readable {
	if len(p.Bytes) == 0 {
		return Readable{Decoder: Text}
	}
	r, known := d.declared(p)
	if known {
		return r
	}
	note := r.Note
	if utf8.Valid(p.Bytes) && bytes.IndexFunc(p.Bytes, control) < 0 {
		return Readable{Decoder: Text, Text: string(p.Bytes), Note: note}
	}
	if text, ok := fields(p.Bytes); ok && !message.FormatOf(p.ContentType).IsJSON() && d.foreign(p) == "" {
		return Readable{Decoder: Fields, Text: text, Note: note}
	}
	return Readable{Decoder: Raw, Note: note}
}

// declared decodes by content type and operation. The note is why it cannot.
func (d Decoder) declared(p Payload) (r Readable, ok bool) {
	if d.isJSON(p) {
		if text := message.JSONText(p.Bytes); json.Valid(text) {
			return Readable{Decoder: JSON, Text: string(text)}, true
		}
		return Readable{Note: "the payload is not valid JSON"}, false
	}
	if codec := d.foreign(p); codec != "" {
		return Readable{Note: fmt.Sprintf("the codec %q of the service is not known here", codec)}, false
	}
	m, err := d.Input(p.Operation)
	if err != nil {
		return Readable{Note: err.Error()}, false
	}
	text, err := d.unmarshal(p.Bytes, m)
	if err != nil {
		return Readable{Note: fmt.Sprintf("not a message %s: %v", m.Descriptor().FullName(), err)}, false
	}
	return Readable{Decoder: Proto + string(m.Descriptor().FullName()), Text: text, Note: unknown(m)}, true
}

func unknown(m *dynamicpb.Message) string {
	if n := len(m.GetUnknown()); n > 0 {
		return fmt.Sprintf("%d bytes belong to unknown fields", n)
	}
	return ""
}

// isJSON reports whether the payload should be JSON: by its content type, else by the codec that
// the operation declares, else because it looks like it.
func (d Decoder) isJSON(p Payload) bool {
	if p.ContentType != "" {
		return message.FormatOf(p.ContentType).IsJSON()
	}
	return d.codec(p.Operation) == "json" || (p.Operation == "" || message.MayBeObject(p.Bytes)) && json.Valid(message.JSONText(p.Bytes))
}

// foreign returns the name of the codec of a payload if it is one that only its service has: that
// of the content type, else the one that the operation declares.
func (d Decoder) foreign(p Payload) string {
	if message.FormatOf(p.ContentType) != message.FormatUnknown {
		return ""
	}
	codec := d.codec(p.Operation)
	if name, ok := strings.CutPrefix(p.ContentType, "application/"); ok && p.Operation != "" && name != "octet-stream" {
		codec = name // what codecs of Kratos are sent as
	}
	switch codec {
	case "proto", "json":
		return ""
	}
	return codec
}

func control(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f }

// codec returns the codec that an operation declares, "" if there is no such operation.
func (d Decoder) codec(operation string) string {
	method, err := d.method(operation)
	if err != nil {
		return ""
	}
	rule, _ := proto.GetExtension(method.Options(), v1.E_Event).(*v1.EventRule)
	service, _ := proto.GetExtension(method.Parent().Options(), v1.E_Events).(*v1.EventDefaults)
	return cmp.Or(rule.GetCodec(), service.GetCodec())
}

// Input returns an empty message of the type that an operation takes.
func (d Decoder) Input(operation string) (*dynamicpb.Message, error) {
	method, err := d.method(operation)
	if err != nil {
		return nil, err
	}
	return dynamicpb.NewMessage(method.Input()), nil
}

func (d Decoder) method(operation string) (protoreflect.MethodDescriptor, error) {
	name := protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(operation, "/"), "/", "."))
	if operation == "" || !name.IsValid() {
		return nil, errors.New("no operation is named")
	}
	found, err := d.files.FindDescriptorByName(name)
	if err != nil {
		return nil, fmt.Errorf("operation %q is not known here", operation)
	}
	method, ok := found.(protoreflect.MethodDescriptor)
	if !ok {
		return nil, fmt.Errorf("%q is not an operation", operation)
	}
	return method, nil
}

// unmarshal decodes a payload into m and returns it as JSON.
func (d Decoder) unmarshal(payload []byte, m *dynamicpb.Message) (string, error) {
	if err := bounds.Check(bounds.Proto, payload, m); err != nil {
		return "", err
	}
	if err := proto.Unmarshal(payload, m); err != nil {
		return "", err
	}
	return d.Marshal(m)
}

// Marshal returns a message as JSON with the names of the .proto file.
func (d Decoder) Marshal(m proto.Message) (string, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, Resolver: dynamicpb.NewTypes(d.files)}.Marshal(m)
	return string(text), err
}

// Encode returns the payload that a text stands for, in the format of p.
func (d Decoder) Encode(p Payload, text string) ([]byte, error) {
	now := d.Decode(p)
	switch {
	case now.Decoder == JSON || d.isJSON(p):
		if !json.Valid([]byte(text)) {
			return nil, errors.New("the text is not valid JSON")
		}
		return []byte(text), nil
	case now.Decoder == Text && message.FormatOf(p.ContentType) == message.FormatUnknown && p.Operation == "":
		return []byte(text), nil
	}
	if codec := d.foreign(p); codec != "" {
		return nil, fmt.Errorf("the payload can be replaced by bytes only: the codec %q of the service is not known here", codec)
	}
	m, err := d.Input(p.Operation)
	if err != nil {
		return nil, fmt.Errorf("the payload can be replaced by bytes only: %w", err)
	}
	if err := d.Unmarshal(text, m); err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(m)
}

// Unmarshal reads JSON into a message of [Decoder.Input].
func (d Decoder) Unmarshal(text string, m *dynamicpb.Message) error {
	if err := bounds.Check(bounds.JSON, []byte(text), m); err != nil {
		return err
	}
	if err := (protojson.UnmarshalOptions{Resolver: dynamicpb.NewTypes(d.files)}).Unmarshal([]byte(text), m); err != nil {
		return fmt.Errorf("not a message %s: %w", m.Descriptor().FullName(), err)
	}
	return nil
}
