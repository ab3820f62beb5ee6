package explain

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// Binding is what a handler receives.
type Binding struct {
	// Fields are the fields that the topic sets, by their paths, in the order of its levels.
	Fields []Field `json:"fields,omitempty"`
	// Key and ID are the values of their fields, or "".
	Key string `json:"ordering_key,omitempty"`
	ID  string `json:"id,omitempty"`
	// Message is the message as JSON, if there is a payload that can be decoded.
	Message string `json:"message,omitempty"`
	// Codec decoded it.
	Codec string `json:"codec,omitempty"`
	// Problem is why the handler is not called, or "".
	Problem string `json:"problem,omitempty"`
	// Contradictions are fields whose value in the payload differs from that in the topic, which
	// counts.
	Contradictions []string `json:"contradictions,omitempty"`

	levels map[string]string // values of the topic, by path
}

// Field is a field that is bound to a level of the topic.
type Field struct {
	Path  string `json:"path"`
	Value string `json:"value"`
	// Description is the comment of the field in its .proto file.
	Description string `json:"description,omitempty"`
}

// bind reads the parameters of a topic into the message of a method, as generated code does.
func (s *Service) bind(m *eventproto.Method, t *eventproto.Topic, msg Message) *Binding {
	b := &Binding{levels: make(map[string]string)}
	in := dynamicpb.NewMessage(m.Desc.Input())
	if msg.Payload != nil {
		b.decode(s, m, msg, in)
	}
	r := eventimpl.ReadTopic(s.own(msg.Topic))
	for i, level := range t.Levels {
		if i > 0 && level.Literal != "#" {
			r.Literal("/")
		}
		switch {
		case level.Literal == "#":
			r.Rest()
		case level.Wild, level.Partition:
			r.Skip()
		case level.Param == nil:
			r.Literal(level.Literal)
		default:
			b.level(t, i, &r, in)
		}
	}
	if err := r.Err(); err != nil && b.Problem == "" {
		b.Problem = err.Error()
	}
	b.Key, b.ID = textOf(m.Dynamic().Key, in), textOf(m.Dynamic().ID, in)
	if b.Problem == "" && msg.Payload != nil {
		text, err := s.Decoder.Marshal(in)
		var compact bytes.Buffer // protojson varies its blanks
		if err == nil {
			err = json.Compact(&compact, []byte(text))
		}
		if b.Message = compact.String(); err != nil {
			b.Problem = err.Error()
		}
	}
	return b
}

// decode reads the payload.
func (b *Binding) decode(s *Service, m *eventproto.Method, msg Message, in *dynamicpb.Message) {
	b.Codec = m.Codec
	if f := message.FormatOf(msg.ContentType); f != message.FormatUnknown {
		if b.Codec = "proto"; f.IsJSON() {
			b.Codec = "json"
		}
	}
	var err error
	switch b.Codec {
	case "json":
		err = s.Decoder.Unmarshal(string(message.JSONText(msg.Payload)), in)
	case "proto":
		err = proto.Unmarshal(msg.Payload, in)
	default:
		err = fmt.Errorf("codec %q is not known here", b.Codec)
	}
	if err != nil {
		b.Problem = "the payload cannot be decoded: " + err.Error()
	}
}

// level reads one parameter.
func (b *Binding) level(t *eventproto.Topic, i int, r *eventimpl.TopicReader, in protoreflect.Message) {
	fields := t.Fields[i]
	path := eventproto.Path(fields)
	for _, f := range fields[:len(fields)-1] {
		in = in.Mutable(in.Descriptor().Fields().ByNumber(f.Desc.Number())).Message()
	}
	field := in.Descriptor().Fields().ByNumber(fields[len(fields)-1].Desc.Number())
	value := valueOf(field, t.Levels[i].Tail, r)
	if !value.IsValid() {
		return
	}
	if in.Has(field) && !in.Get(field).Equal(value) {
		b.Contradictions = append(b.Contradictions, fmt.Sprintf("%s is %v in the payload and %v in the topic", path, in.Get(field), value))
	}
	in.Set(field, value)
	text := value.String()
	if field.Kind() == protoreflect.EnumKind {
		text = string(field.Enum().Values().ByNumber(value.Enum()).Name())
	}
	b.Fields, b.levels[path] = append(b.Fields, Field{path, text, eventproto.Comment(field)}), text
}

// valueOf reads the value of a field from a topic; it is not valid after an error.
func valueOf(field protoreflect.FieldDescriptor, tail bool, r *eventimpl.TopicReader) (v protoreflect.Value) {
	switch field.Kind() {
	case protoreflect.StringKind:
		if tail {
			return protoreflect.ValueOfString(r.Tail())
		}
		return protoreflect.ValueOfString(r.Level())
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.Bool())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(r.Int(32)))
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(r.Int(64))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(uint32(r.Uint(32)))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(r.Uint(64))
	case protoreflect.EnumKind:
		values := make(map[string]int32)
		for i := range field.Enum().Values().Len() {
			values[string(field.Enum().Values().Get(i).Name())] = int32(field.Enum().Values().Get(i).Number())
		}
		if n := r.Enum(values); field.Enum().Values().ByNumber(protoreflect.EnumNumber(n)) != nil {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(n))
		}
	}
	return v
}

func textOf(get func(proto.Message) string, in proto.Message) string {
	if get == nil {
		return ""
	}
	return get(in)
}

// letterTopic returns the dead-letter topic, with the values of the topic in place of its
// parameters. Parameters that only the payload has stay as they are.
func (s *Service) letterTopic(template string, b *Binding) string {
	for path, value := range b.levels {
		template = strings.ReplaceAll(template, "{"+path+"}", value)
		template = strings.ReplaceAll(template, "{"+path+"=**}", value)
	}
	return template
}
