package asyncapi

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// schemas collects the JSON Schemas of messages and enums, for their JSON form
// [ProtoJSON].
type schemas struct {
	order []string
	known map[string]*object
}

// message returns a reference to a message's schema, and writes the schema if it is new.
func (s *schemas) message(m *protogen.Message) *object {
	if known := wellKnown(m.Desc.FullName()); known != nil {
		return known
	}
	name := string(m.Desc.FullName())
	if s.known[name] == nil {
		o := newObject()
		s.add(name, o) // before its fields: a message may contain itself
		s.fields(m, o)
	}
	return ref("components/schemas", name)
}

func (s *schemas) add(name string, o *object) {
	s.known[name] = o
	s.order = append(s.order, name)
}

func (s *schemas) fields(m *protogen.Message, o *object) {
	o.set("type", "object").set("description", text(m.Comments.Leading))
	properties := newObject()
	var required []string
	for _, f := range m.Fields {
		properties.set(f.Desc.JSONName(), numbered(f, s.field(f)))
		if f.Desc.Cardinality() == protoreflect.Required {
			required = append(required, f.Desc.JSONName())
		}
	}
	o.set("properties", properties).set("required", required)
	if m.Desc.Options() != nil && deprecated(m.Desc.Options()) {
		o.set("deprecated", true)
	}
}

func (s *schemas) field(f *protogen.Field) *object {
	var o *object
	switch {
	case f.Desc.IsMap():
		key, value := f.Message.Fields[0], f.Message.Fields[1]
		o = newObject().set("type", "object")
		if pattern := keyPattern(key.Desc.Kind()); pattern != "" {
			o.set("propertyNames", newObject().set("pattern", pattern))
		}
		o.set("additionalProperties", s.single(value))
	case f.Desc.IsList():
		o = newObject().set("type", "array").set("items", s.single(f))
	default:
		o = s.single(f)
		if nullable(f.Desc) {
			o = orNull(o)
		}
	}
	return s.describe(f, o)
}

// numbered adds what a protobuf decoder needs to know about a field.
func numbered(f *protogen.Field, o *object) *object {
	return extensible(o).set("x-protobuf", protobuf(f))
}

// extensible returns a schema that members can be added to. Members beside a $ref are
// ignored (JSON Schema draft 7), so a reference is put into an allOf.
func extensible(o *object) *object {
	if o.node.Content[0].Value == "$ref" {
		return newObject().set("allOf", []*object{o})
	}
	o = &object{node: o.node} // a copy: the original may be used elsewhere
	o.node.Content = slices.Clip(o.node.Content)
	return o
}

// protobuf returns the declaration of a field without its name: repeated sint32 = 3.
func protobuf(f *protogen.Field) string {
	kind := func(f *protogen.Field) string {
		switch {
		case f.Enum != nil:
			return string(f.Enum.Desc.FullName())
		case f.Message != nil:
			return string(f.Message.Desc.FullName())
		}
		return f.Desc.Kind().String()
	}
	text := kind(f)
	switch {
	case f.Desc.IsMap():
		text = fmt.Sprintf("map<%s, %s>", kind(f.Message.Fields[0]), kind(f.Message.Fields[1]))
	case f.Desc.IsList():
		text = "repeated " + text
	case f.Desc.Cardinality() == protoreflect.Required:
		text = "required " + text
	case f.Desc.HasPresence() && f.Message == nil && (f.Oneof == nil || f.Oneof.Desc.IsSynthetic()):
		text = "optional " + text
	}
	text = fmt.Sprintf("%s = %d", text, f.Desc.Number())
	if f.Oneof != nil && !f.Oneof.Desc.IsSynthetic() {
		text += " in oneof " + string(f.Oneof.Desc.Name())
	}
	return text
}

// nullable reports whether an unset field may be null in JSON: Kratos' codec writes null
// for fields with presence. All encoders leave out unset members of a oneof, including
// proto3 optional fields.
func nullable(f protoreflect.FieldDescriptor) bool {
	return f.HasPresence() && f.ContainingOneof() == nil && f.Cardinality() != protoreflect.Required
}

func orNull(o *object) *object {
	return newObject().set("anyOf", []*object{o, newObject().set("type", "null")})
}

// describe adds the documentation of the field.
func (s *schemas) describe(f *protogen.Field, o *object) *object {
	description := text(f.Comments.Leading)
	if f.Oneof != nil && !f.Oneof.Desc.IsSynthetic() {
		description = strings.TrimSpace(description + "\nAt most one field of the oneof " + string(f.Oneof.Desc.Name()) + " is set.")
	}
	old := deprecated(f.Desc.Options())
	if description == "" && !old {
		return o
	}
	o = extensible(o).set("description", description)
	if old {
		o.set("deprecated", true)
	}
	return o
}

// single returns the schema of one value.
func (s *schemas) single(f *protogen.Field) *object {
	switch k := f.Desc.Kind(); k {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return s.message(f.Message)
	case protoreflect.EnumKind:
		return s.enum(f.Enum)
	default:
		return scalar(k)
	}
}

func scalar(k protoreflect.Kind) *object {
	o := newObject()
	switch k {
	case protoreflect.BoolKind:
		return o.set("type", "boolean")
	case protoreflect.BytesKind:
		return o.set("type", "string").set("contentEncoding", "base64")
	case protoreflect.FloatKind:
		return float(o, "float")
	case protoreflect.DoubleKind:
		return float(o, "double")
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return o.set("type", "string").set("format", "int64").set("pattern", "^-?[0-9]+$")
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return o.set("type", "string").set("format", "uint64").set("pattern", "^[0-9]+$")
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return o.set("type", "integer").set("format", "int64").set("minimum", always{0}).set("maximum", uint32(1<<32-1))
	case protoreflect.StringKind:
		return o.set("type", "string")
	}
	return o.set("type", "integer").set("format", "int32")
}

// float accepts a number, or the text of one that JSON numbers cannot express.
func float(o *object, format string) *object {
	return o.set("type", []string{"number", "string"}).set("format", format).set("pattern", "^(NaN|-?Infinity)$")
}

func keyPattern(k protoreflect.Kind) string {
	switch k {
	case protoreflect.StringKind:
		return ""
	case protoreflect.BoolKind:
		return "^(true|false)$"
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return "^[0-9]+$"
	}
	return "^-?[0-9]+$"
}

// enum returns a reference to an enum's schema, which lists the names of its values.
func (s *schemas) enum(e *protogen.Enum) *object {
	if e.Desc.FullName() == "google.protobuf.NullValue" {
		return newObject().set("type", "null")
	}
	name := string(e.Desc.FullName())
	if s.known[name] == nil {
		lines := []string{text(e.Comments.Leading)}
		for _, v := range e.Values {
			if c := text(v.Comments.Leading); c != "" {
				lines = append(lines, "- "+string(v.Desc.Name())+": "+strings.ReplaceAll(c, "\n", " "))
			}
		}
		o := newObject().set("description", strings.TrimSpace(strings.Join(lines, "\n")))
		known := newObject().set("type", "string").set("enum", valueNames(e))
		if e.Desc.IsClosed() {
			o.node.Content = append(o.node.Content, known.node.Content...)
		} else {
			o.set("anyOf", []*object{known, newObject().set("type", "integer").set("format", "int32").
				set("description", "The number of a value that this document does not know.")})
		}
		numbers := newObject()
		for _, v := range e.Values {
			numbers.set(string(v.Desc.Name()), always{int32(v.Desc.Number())})
		}
		s.add(name, o.set("x-protobuf-values", numbers))
	}
	return ref("components/schemas", name)
}

func valueNames(e *protogen.Enum) (names []string) {
	for _, v := range e.Values {
		names = append(names, string(v.Desc.Name()))
	}
	return names
}

// wellKnown returns the schema of a type that has its own JSON form, or nil for other
// types.
func wellKnown(name protoreflect.FullName) *object {
	o := newObject()
	switch name {
	case "google.protobuf.Timestamp":
		return o.set("type", "string").set("format", "date-time")
	case "google.protobuf.Duration":
		return o.set("type", "string").set("pattern", `^-?[0-9]+(\.[0-9]{1,9})?s$`)
	case "google.protobuf.FieldMask":
		return o.set("type", "string")
	case "google.protobuf.Empty":
		return o.set("type", "object").set("additionalProperties", false)
	case "google.protobuf.Struct":
		return o.set("type", "object").set("additionalProperties", true)
	case "google.protobuf.ListValue":
		return o.set("type", "array").set("items", always{map[string]any{}})
	case "google.protobuf.Value":
		return o.set("type", []string{"null", "boolean", "number", "string", "array", "object"})
	case "google.protobuf.Any":
		return o.set("type", "object").
			set("properties", newObject().set("@type", newObject().set("type", "string").set("description", "Type URL of the message."))).
			set("required", []string{"@type"}).set("additionalProperties", true)
	case "google.protobuf.BoolValue":
		return scalar(protoreflect.BoolKind)
	case "google.protobuf.BytesValue":
		return scalar(protoreflect.BytesKind)
	case "google.protobuf.DoubleValue":
		return scalar(protoreflect.DoubleKind)
	case "google.protobuf.FloatValue":
		return scalar(protoreflect.FloatKind)
	case "google.protobuf.Int32Value":
		return scalar(protoreflect.Int32Kind)
	case "google.protobuf.Int64Value":
		return scalar(protoreflect.Int64Kind)
	case "google.protobuf.UInt32Value":
		return scalar(protoreflect.Uint32Kind)
	case "google.protobuf.UInt64Value":
		return scalar(protoreflect.Uint64Kind)
	case "google.protobuf.StringValue":
		return scalar(protoreflect.StringKind)
	}
	return nil
}
