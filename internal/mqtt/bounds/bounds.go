// Package bounds bounds what a payload of a stranger may make of itself in
// memory, before it is decoded. All doors of a service, MQTT, HTTP and gRPC, have
// the same bounds: what one of them takes is not refused behind it.
package bounds

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// The codecs that are looked over, by Kratos' names.
const (
	JSON  = "json"
	Proto = "proto"
)

// A nested message of protobuf takes two bytes of a payload and some hundred in
// memory, an object of JSON three.
const (
	// maxDepth is how deep messages, objects and lists may be nested.
	maxDepth = 100
	// minBound is how many of them any payload may have. Where that is more, one
	// for each bytesPerNested bytes.
	minBound       = 32 << 10
	bytesPerNested = 8
	// harmless is the size in bytes up to which a payload cannot be over either.
	harmless = 2 * maxDepth
)

// The errors of [Check].
var (
	ErrTooDeep = fmt.Errorf("payload is nested more than %d deep", maxDepth)
	ErrTooMany = errors.New("payload has too many nested messages, objects or lists for its size")
)

// Check looks over a payload in one of the two encodings that a stranger can choose
// before it is decoded into body: the codec's own code would go 10,000 deep and
// allocate without a bound. It is [ErrTooDeep], [ErrTooMany] or nil, and leaves it
// to the codec to say what is malformed.
func Check(codec string, data []byte, body any) error {
	if len(data) <= harmless {
		return nil
	}
	switch codec {
	case JSON:
		return checkJSON(data)
	case Proto:
		if m, ok := body.(proto.Message); ok {
			n := nested{left: maxNested(len(data))}
			return n.message(data, m.ProtoReflect().Descriptor(), 1)
		}
	}
	return nil
}

// The most bytes in memory that a byte of a payload becomes: of a message of plain
// fields, of which strings are copied once, and of any other.
const (
	plainGrows  = 2
	othersGrows = 64
)

// Memory returns the most bytes that a payload of that size takes when it is
// decoded into m and has passed [Check].
func Memory(size int, m proto.Message) int {
	md := m.ProtoReflect().Descriptor()
	if plain(md) {
		return size * plainGrows
	}
	return size * othersGrows
}

func maxNested(size int) int { return max(minBound, size/bytesPerNested) }

// checkJSON counts what is opened, outside of strings.
func checkJSON(data []byte) error {
	depth, left := 0, maxNested(len(data))
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i = endOfString(data, i)
		case '{', '[':
			depth++
			left--
		case '}', ']':
			depth--
		}
		if depth > maxDepth {
			return ErrTooDeep
		}
	}
	if left < 0 {
		return ErrTooMany
	}
	return nil
}

// endOfString returns where the string ends that starts at i.
func endOfString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return i
}

// nested counts the messages inside a message of protobuf.
type nested struct{ left int }

func (n *nested) message(data []byte, md protoreflect.MessageDescriptor, depth int) error {
	if depth > maxDepth {
		return ErrTooDeep
	}
	if flat(md) {
		return nil
	}
	for len(data) > 0 {
		num, typ, size := protowire.ConsumeTag(data)
		if size < 0 {
			return nil
		}
		data = data[size:]
		value, size := valueOf(num, typ, data)
		if size < 0 {
			return nil
		}
		data = data[size:]
		if value == nil {
			continue
		}
		if inner := messageIn(md, num); inner != nil {
			if n.left--; n.left < 0 {
				return ErrTooMany
			}
			if err := n.message(value, inner, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// valueOf returns the bytes of a field that may be a message, nil of another, and
// how many bytes the field takes, which is negative when it is malformed.
func valueOf(num protowire.Number, typ protowire.Type, data []byte) ([]byte, int) {
	switch typ {
	case protowire.BytesType:
		return protowire.ConsumeBytes(data)
	case protowire.StartGroupType:
		return protowire.ConsumeGroup(num, data)
	}
	return nil, protowire.ConsumeFieldValue(num, typ, data)
}

// messageIn returns the type of a field that is a message, nil of another.
func messageIn(md protoreflect.MessageDescriptor, num protowire.Number) protoreflect.MessageDescriptor {
	if fd := md.Fields().ByNumber(num); fd != nil {
		return fd.Message()
	}
	if !md.ExtensionRanges().Has(num) {
		return nil
	}
	if x, err := protoregistry.GlobalTypes.FindExtensionByNumber(md.FullName(), num); err == nil {
		return x.TypeDescriptor().Message()
	}
	return nil
}

// flat reports whether no field is a message, as of most events.
func flat(md protoreflect.MessageDescriptor) bool {
	return without(md, func(fd protoreflect.FieldDescriptor) bool { return fd.Message() != nil })
}

// plain reports whether each field is one value.
func plain(md protoreflect.MessageDescriptor) bool {
	return without(md, func(fd protoreflect.FieldDescriptor) bool { return fd.Message() != nil || fd.IsList() })
}

func without(md protoreflect.MessageDescriptor, unwanted func(protoreflect.FieldDescriptor) bool) bool {
	if md.ExtensionRanges().Len() > 0 {
		return false
	}
	fields := md.Fields()
	for i := range fields.Len() {
		if unwanted(fields.Get(i)) {
			return false
		}
	}
	return true
}
