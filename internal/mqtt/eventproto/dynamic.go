package eventproto

import (
	"fmt"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
)

// Dynamic returns the description that generated code has, for messages without generated
// code.
func (m *Method) Dynamic() *event.MethodDesc {
	d := m.MethodDesc
	if path := m.OrderingKey; path != nil {
		d.Key = func(in proto.Message) string { return textAt(in.ProtoReflect(), path) }
	}
	if path := m.ID; path != nil {
		d.ID = func(in proto.Message) string { return textAt(in.ProtoReflect(), path) }
	}
	return &d
}

// TopicOf returns the topic of a message as generated code would: its first template with the
// values of the fields.
func (m *Method) TopicOf(message protoreflect.Message) (string, error) {
	t := m.Topics[0]
	if t.Wild() {
		return "", fmt.Errorf("topic %q has a wildcard, so that only a topic of the caller can be published to", t.Text)
	}
	b := new(eventimpl.TopicBuilder)
	for i, level := range t.Levels {
		if i > 0 {
			b.Literal("/")
		}
		if level.Param == nil {
			b.Literal(level.Literal)
			continue
		}
		field, value := valueAt(message, t.Fields[i])
		name := Path(t.Fields[i])
		switch v := value.Interface().(type) {
		case bool:
			b.Bool(v)
		case int32:
			b.Int(int64(v))
		case int64:
			b.Int(v)
		case uint32:
			b.Uint(uint64(v))
		case uint64:
			b.Uint(v)
		case protoreflect.EnumNumber:
			named := field.Enum().Values().ByNumber(v)
			if named == nil {
				b.Enum(name, "", int32(v))
			} else {
				b.Enum(name, string(named.Name()), int32(v))
			}
		case string:
			if level.Tail {
				b.Tail(name, v)
			} else {
				b.String(name, v)
			}
		}
	}
	return b.Topic()
}

// valueAt returns the value at a path, the default if it is not set.
func valueAt(message protoreflect.Message, path []*protogen.Field) (protoreflect.FieldDescriptor, protoreflect.Value) {
	last := len(path) - 1
	for _, f := range path[:last] {
		message = message.Get(message.Descriptor().Fields().ByNumber(f.Desc.Number())).Message()
	}
	field := message.Descriptor().Fields().ByNumber(path[last].Desc.Number())
	return field, message.Get(field)
}

func textAt(message protoreflect.Message, path []*protogen.Field) string {
	_, value := valueAt(message, path)
	return value.String()
}
