package configfile

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"gopkg.in/yaml.v3"
)

// textual reports whether a message is written as a single value.
func textual(m protoreflect.MessageDescriptor) bool {
	switch m.FullName() {
	case "google.protobuf.Duration", "google.protobuf.Timestamp":
		return true
	}
	return wrapped(m) != nil
}

// wrapped returns the field of a wrapper message, or nil for other messages.
func wrapped(m protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	if m.ParentFile().Path() == "google/protobuf/wrappers.proto" {
		return m.Fields().ByName("value")
	}
	return nil
}

// wanted describes the values that a field accepts.
func wanted(f protoreflect.FieldDescriptor) string {
	if m := f.Message(); m != nil {
		switch m.FullName() {
		case "google.protobuf.Duration":
			return "a duration with a unit, such as 30s or 1h30m"
		case "google.protobuf.Timestamp":
			return "a time, such as 2026-01-02T15:04:05Z"
		}
		return wanted(wrapped(m))
	}
	switch f.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.StringKind, protoreflect.BytesKind:
		return "text"
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "a number"
	case protoreflect.EnumKind:
		values := make([]string, f.Enum().Values().Len())
		for i := range values {
			values[i] = string(f.Enum().Values().Get(i).Name())
		}
		return "one of " + strings.Join(values, ", ")
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return fmt.Sprintf("a whole number from %d to %d", math.MinInt32, math.MaxInt32)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return fmt.Sprintf("a whole number from 0 to %d", uint32(math.MaxUint32))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64))
	}
	return "a whole number"
}

// value parses the text of a field that is not a section.
func value(text string, n *yaml.Node, f protoreflect.FieldDescriptor, empties func() protoreflect.Value) (v protoreflect.Value, problem string) {
	if n.Tag == "!!binary" && f.Kind() == protoreflect.BytesKind {
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		if err != nil {
			return v, "is !!binary, want base64"
		}
		return protoreflect.ValueOfBytes(b), ""
	}
	m := f.Message()
	if m == nil {
		return scalar(text, f)
	}
	switch m.FullName() {
	case "google.protobuf.Duration":
		d, err := time.ParseDuration(text)
		if err != nil {
			return v, "want " + wanted(f)
		}
		return like(empties(), durationpb.New(d).ProtoReflect()), ""
	case "google.protobuf.Timestamp":
		t, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return v, "want " + wanted(f)
		}
		return like(empties(), timestamppb.New(t).ProtoReflect()), ""
	}
	inside, problem := scalar(text, wrapped(m))
	if problem != "" {
		return v, problem
	}
	v = empties()
	v.Message().Set(v.Message().Descriptor().Fields().ByName("value"), inside)
	return v, ""
}

// like copies the fields of a message to a new message of the same protobuf type, which
// may have another Go type.
func like(v protoreflect.Value, from protoreflect.Message) protoreflect.Value {
	from.Range(func(f protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		v.Message().Set(v.Message().Descriptor().Fields().ByName(f.Name()), value)
		return true
	})
	return v
}

// scalar parses the text of a field that is not a message.
func scalar(text string, f protoreflect.FieldDescriptor) (v protoreflect.Value, problem string) {
	var err error
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text), ""
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte(text)), ""
	case protoreflect.BoolKind:
		switch text {
		case "true":
			return protoreflect.ValueOfBool(true), ""
		case "false":
			return protoreflect.ValueOfBool(false), ""
		}
		return v, "want " + wanted(f)
	case protoreflect.EnumKind:
		if e := f.Enum().Values().ByName(protoreflect.Name(text)); e != nil {
			return protoreflect.ValueOfEnum(e.Number()), ""
		}
		return v, "want " + wanted(f)
	case protoreflect.FloatKind:
		var n float64
		n, err = strconv.ParseFloat(text, 32)
		v = protoreflect.ValueOfFloat32(float32(n))
	case protoreflect.DoubleKind:
		var n float64
		n, err = strconv.ParseFloat(text, 64)
		v = protoreflect.ValueOfFloat64(n)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		var n int64
		n, err = strconv.ParseInt(text, 10, 32)
		v = protoreflect.ValueOfInt32(int32(n))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 32)
		v = protoreflect.ValueOfUint32(uint32(n))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		var n uint64
		n, err = strconv.ParseUint(text, 10, 64)
		v = protoreflect.ValueOfUint64(n)
	default:
		var n int64
		n, err = strconv.ParseInt(text, 10, 64)
		v = protoreflect.ValueOfInt64(n)
	}
	if err != nil {
		return v, "want " + wanted(f)
	}
	return v, ""
}
