package operation

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
)

// letterTopic returns a function that renders the dead-letter topic of a message: from its
// fields, or from the levels of its topic if the message cannot be decoded. The
// dead-letter topic has the same prefix as the message.
func letterTopic(letters, own *template, p prefix) func(topic string, body any) (string, error) {
	return func(topic string, body any) (string, error) {
		levels, _ := p.cut(topic)
		in, _ := body.(proto.Message)
		of := func(path string) (string, error) { return fieldLevel(in, path) }
		if in == nil {
			values := own.read(topic)
			of = func(path string) (string, error) { return textLevel(path, values[path]) }
		}
		to, err := letters.render(of)
		return levels + to, err
	}
}

func textLevel(path, value string) (string, error) {
	var b eventimpl.TopicBuilder
	b.Tail(path, value)
	return b.Topic()
}

// fieldLevel returns the value of a field as one level of a topic.
func fieldLevel(in proto.Message, path string) (string, error) {
	m := in.ProtoReflect()
	names := strings.Split(path, ".")
	for _, name := range names[:len(names)-1] {
		fd := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if fd == nil || fd.Message() == nil || fd.IsList() || fd.IsMap() {
			return "", errNoField
		}
		m = m.Get(fd).Message()
	}
	fd := m.Descriptor().Fields().ByName(protoreflect.Name(names[len(names)-1]))
	if fd == nil || fd.IsList() || fd.IsMap() {
		return "", errNoField
	}
	v := m.Get(fd)
	switch fd.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind, protoreflect.BytesKind, protoreflect.FloatKind, protoreflect.DoubleKind:
		return "", errNoField
	case protoreflect.EnumKind:
		if ev := fd.Enum().Values().ByNumber(v.Enum()); ev != nil {
			return string(ev.Name()), nil
		}
		return "", fmt.Errorf("enum value %d has no name", v.Enum())
	case protoreflect.StringKind:
		return textLevel(path, v.String())
	}
	return v.String(), nil
}

var errNoField = errors.New("no field that can be a level of a topic")
