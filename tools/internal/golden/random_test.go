package golden

import (
	"math"
	"math/rand/v2"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// randomMessage creates messages whose values JSON can express, including unknown numbers
// of open enums and the special numbers of floats.
type randomMessage struct{ *rand.Rand }

// deepest is the deepest level of nested messages.
const deepest = 4

// fill sets about half of the fields.
func (r randomMessage) fill(m protoreflect.Message, depth int) {
	if r.wellKnown(m, depth) {
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		required := f.Cardinality() == protoreflect.Required
		if !required && (r.IntN(2) == 0 || depth > deepest && f.Message() != nil) {
			continue
		}
		switch {
		case f.IsMap():
			entries := m.Mutable(f).Map()
			for range r.IntN(3) {
				key := r.scalar(f.MapKey()).MapKey()
				if f.MapValue().Message() != nil {
					r.fill(entries.Mutable(key).Message(), depth+1)
				} else {
					entries.Set(key, r.scalar(f.MapValue()))
				}
			}
		case f.IsList():
			list := m.Mutable(f).List()
			for range r.IntN(3) {
				if f.Message() != nil {
					r.fill(list.AppendMutable().Message(), depth+1)
				} else {
					list.Append(r.scalar(f))
				}
			}
		case f.Message() != nil:
			r.fill(m.Mutable(f).Message(), depth+1)
		default:
			m.Set(f, r.scalar(f))
		}
	}
}

// wellKnown sets a message whose JSON form accepts only some values.
func (r randomMessage) wellKnown(m protoreflect.Message, depth int) bool {
	set := func(name protoreflect.Name, v any) {
		m.Set(m.Descriptor().Fields().ByName(name), protoreflect.ValueOf(v))
	}
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp":
		set("seconds", r.Int64N(253402300799+62135596800)-62135596800)
		set("nanos", r.Int32N(1e9))
	case "google.protobuf.Duration":
		seconds := r.Int64N(2*315576000000) - 315576000000
		set("seconds", seconds)
		set("nanos", max(-1, min(1, int32(seconds>>32|1)))*r.Int32N(1e9))
	case "google.protobuf.FieldMask":
		paths := m.Mutable(m.Descriptor().Fields().ByName("paths")).List()
		for range r.IntN(3) {
			paths.Append(protoreflect.ValueOfString([]string{"a", "some_field", "some_field.of_it"}[r.IntN(3)]))
		}
	case "google.protobuf.Any":
		inside := []proto.Message{durationpb.New(5), wrapperspb.String("text"), wrapperspb.Bool(true)}[r.IntN(3)]
		b, _ := proto.Marshal(inside)
		set("type_url", "type.googleapis.com/"+string(inside.ProtoReflect().Descriptor().FullName()))
		set("value", b)
	case "google.protobuf.Value":
		r.value(m, depth)
	default:
		return false
	}
	return true
}

// value sets a google.protobuf.Value, which must have a kind.
func (r randomMessage) value(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	f := fields.Get(r.IntN(fields.Len()))
	if depth > deepest {
		f = fields.ByName("bool_value")
	}
	switch {
	case f.Message() != nil:
		r.fill(m.Mutable(f).Message(), depth+1)
	case f.Kind() == protoreflect.DoubleKind:
		m.Set(f, protoreflect.ValueOfFloat64(r.NormFloat64()))
	case f.Kind() == protoreflect.EnumKind:
		m.Set(f, protoreflect.ValueOfEnum(0))
	default:
		m.Set(f, r.scalar(f))
	}
}

func (r randomMessage) scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString([]string{"", "text", "ä/\"\n\u2028", "2026-01-01"}[r.IntN(4)])
	case protoreflect.BytesKind:
		b := make([]byte, r.IntN(5))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return protoreflect.ValueOfBytes(b)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(r.float()))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(r.float())
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		if !f.Enum().IsClosed() && r.IntN(8) == 0 {
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(r.Int32()))
		}
		return protoreflect.ValueOfEnum(values.Get(r.IntN(values.Len())).Number())
	}
	return scalar(f, r.Rand, "")
}

func (r randomMessage) float() float64 {
	return []float64{0, -1.5, r.NormFloat64(), math.MaxFloat32, math.NaN(), math.Inf(1), math.Inf(-1)}[r.IntN(7)]
}
