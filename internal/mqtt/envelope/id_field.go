package envelope

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// IDField reads the id of a message from a field of its body.
type IDField struct{ name string }

// NewIDField returns an error if the values of a binder do not have the field. A field of
// a protobuf message has its name in the .proto file or in JSON, a field of a struct its
// name in JSON or in Go. A map may or may not have the field.
func NewIDField(name string, body any) (*IDField, error) {
	f := &IDField{name}
	if m, ok := body.(proto.Message); ok {
		fd := f.ofMessage(m)
		if fd == nil || fd.IsList() || fd.IsMap() || !scalar(fd.Kind()) {
			return nil, fmt.Errorf("id field %q: %s has no such field of text, bytes or whole numbers", name, m.ProtoReflect().Descriptor().FullName())
		}
		return f, nil
	}
	if body == nil {
		return nil, fmt.Errorf("id field %q: without a binder the message is bytes", name)
	}
	t := reflect.TypeOf(body)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return f, nil
		}
	case reflect.Struct:
		if sf, ok := f.ofStruct(t); ok && plain(sf.Type.Kind()) {
			return f, nil
		}
	}
	return nil, fmt.Errorf("id field %q: a %T has no such field of text or whole numbers", name, body)
}

// Of returns the value of the field in a body, or "" if it has none.
func (f *IDField) Of(body any) string {
	if m, ok := body.(proto.Message); ok {
		return f.fromMessage(m)
	}
	v := reflect.ValueOf(body)
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		if sf, ok := f.ofStruct(v.Type()); ok {
			v, _ = v.FieldByIndexErr(sf.Index) // invalid below a nil pointer
			return textOf(v)
		}
	case reflect.Map:
		if v.Type().Key().Kind() == reflect.String {
			return textOf(v.MapIndex(reflect.ValueOf(f.name).Convert(v.Type().Key())))
		}
	}
	return ""
}

func (f *IDField) ofMessage(m proto.Message) protoreflect.FieldDescriptor {
	fields := m.ProtoReflect().Descriptor().Fields()
	if fd := fields.ByName(protoreflect.Name(f.name)); fd != nil {
		return fd
	}
	return fields.ByJSONName(f.name)
}

func (f *IDField) fromMessage(m proto.Message) string {
	fd := f.ofMessage(m)
	if fd == nil || !m.ProtoReflect().Has(fd) {
		return ""
	}
	v := m.ProtoReflect().Get(fd)
	if fd.Kind() == protoreflect.BytesKind {
		return hex.EncodeToString(v.Bytes())
	}
	return v.String()
}

func scalar(k protoreflect.Kind) bool {
	switch k {
	case protoreflect.BoolKind, protoreflect.EnumKind, protoreflect.FloatKind, protoreflect.DoubleKind,
		protoreflect.MessageKind, protoreflect.GroupKind:
		return false
	}
	return true
}

// ofStruct finds the field by its name in JSON, else in Go.
func (f *IDField) ofStruct(t reflect.Type) (found reflect.StructField, ok bool) {
	for _, sf := range reflect.VisibleFields(t) {
		if !sf.IsExported() || sf.Anonymous {
			continue
		}
		if tag, _, _ := strings.Cut(sf.Tag.Get("json"), ","); tag == f.name {
			return sf, true
		}
		if sf.Name == f.name {
			found, ok = sf, true
		}
	}
	return found, ok
}

func plain(k reflect.Kind) bool {
	return k == reflect.String || k >= reflect.Int && k <= reflect.Uint64
}

// textOf returns a value as text, and "" for a zero value.
func textOf(v reflect.Value) string {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() || v.IsZero() {
		return ""
	}
	switch {
	case v.Kind() == reflect.String:
		return v.String()
	case v.CanInt():
		return strconv.FormatInt(v.Int(), 10)
	case v.CanUint():
		return strconv.FormatUint(v.Uint(), 10)
	case v.CanFloat(): // of JSON in a map
		return strconv.FormatFloat(v.Float(), 'g', -1, 64)
	}
	return ""
}
