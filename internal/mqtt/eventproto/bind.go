package eventproto

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// bind parses a template and finds the field of each parameter.
func bind(m *protogen.Message, text string, wild bool) (_ *Topic, problem string) {
	t, err := ParseTemplate(text, wild)
	if err != nil {
		return nil, err.Error()
	}
	topic := &Topic{Template: t, Fields: make([][]*protogen.Field, len(t.Levels))}
	seen := make(map[string]bool)
	for i, level := range t.Levels {
		if level.Param == nil {
			continue
		}
		path := strings.Join(level.Param, ".")
		if seen[path] {
			return nil, fmt.Sprintf("topic %q: field %q is bound twice", text, path)
		}
		seen[path] = true
		if isPartition(m, path) {
			t.Levels[i] = Level{Literal: event.PartitionLevel, Partition: true, Offset: level.Offset}
			continue
		}
		fields, problem := resolve(m, level.Param)
		if problem == "" {
			problem = bindable(fields[len(fields)-1], level.Tail)
		}
		if problem != "" {
			return nil, fmt.Sprintf("topic %q: %s", text, problem)
		}
		topic.Fields[i] = fields
	}
	return topic, ""
}

// isPartition reports whether a parameter stands for the partition of the key. A message may
// have a field of that name, which is bound like any other.
func isPartition(m *protogen.Message, path string) bool {
	return "{"+path+"}" == event.PartitionLevel && fieldOf(m, path) == nil
}

// resolve finds the fields of a path.
func resolve(m *protogen.Message, path []string) (fields []*protogen.Field, problem string) {
	for i, name := range path {
		f := fieldOf(m, name)
		if f == nil {
			return nil, fmt.Sprintf("message %s has no field %q (it has %s)", m.Desc.FullName(), name, names(m))
		}
		fields = append(fields, f)
		if i == len(path)-1 {
			break
		}
		if problem := container(f); problem != "" {
			return nil, problem
		}
		m = f.Message
	}
	return fields, ""
}

// container returns why a path cannot go through a field, or "" if it can.
func container(f *protogen.Field) string {
	switch {
	case f.Desc.IsMap():
		return fmt.Sprintf("field %q is a map, which a path cannot go through", f.Desc.Name())
	case f.Desc.IsList():
		return fmt.Sprintf("field %q is repeated, which a path cannot go through", f.Desc.Name())
	case f.Message == nil:
		return fmt.Sprintf("field %q is not a message, so that a path cannot go through it", f.Desc.Name())
	case realOneof(f):
		return oneofProblem(f)
	}
	return ""
}

func realOneof(f *protogen.Field) bool { return f.Oneof != nil && !f.Oneof.Desc.IsSynthetic() }

func oneofProblem(f *protogen.Field) string {
	return fmt.Sprintf("field %q is a member of the oneof %q: setting it from a topic would clear the other members", f.Desc.Name(), f.Oneof.Desc.Name())
}

// bindable returns why a field cannot be a topic level, or "" if it can.
func bindable(f *protogen.Field, tail bool) string {
	d := f.Desc
	switch {
	case d.IsMap():
		return fmt.Sprintf("field %q is a map, which cannot be a topic level", d.Name())
	case d.IsList():
		return fmt.Sprintf("field %q is repeated, which cannot be a topic level", d.Name())
	case realOneof(f):
		return oneofProblem(f)
	}
	switch d.Kind() {
	case protoreflect.FloatKind, protoreflect.DoubleKind, protoreflect.BytesKind, protoreflect.MessageKind, protoreflect.GroupKind:
		return fmt.Sprintf("field %q of type %s cannot be a topic level, want a string, a bool, an integer or an enum", d.Name(), typeName(f))
	}
	if tail && d.Kind() != protoreflect.StringKind {
		return fmt.Sprintf("field %q of type %s cannot match the rest of the topic: =** needs a string", d.Name(), typeName(f))
	}
	return ""
}

func typeName(f *protogen.Field) string {
	if f.Message != nil {
		return string(f.Message.Desc.FullName())
	}
	return f.Desc.Kind().String()
}

// kindName describes the type of a field and whether it is repeated.
func kindName(f *protogen.Field) string {
	switch {
	case f.Desc.IsMap():
		return "a map"
	case f.Desc.IsList():
		return "repeated " + typeName(f)
	}
	return "of type " + typeName(f)
}

func names(m *protogen.Message) string {
	if len(m.Fields) == 0 {
		return "none"
	}
	list := make([]string, 0, len(m.Fields))
	for _, f := range m.Fields {
		list = append(list, string(f.Desc.Name()))
	}
	return strings.Join(list, ", ")
}

func rule(m *Method) *v1.EventRule {
	r, _ := proto.GetExtension(m.Desc.Options(), v1.E_Event).(*v1.EventRule)
	return r
}
