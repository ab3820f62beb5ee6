// Package bounds limits the memory that an untrusted payload can take when it
// is decoded. MQTT, HTTP and gRPC use the same limits, so that a payload that
// one of them accepts is not rejected by another.
package bounds

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// Kratos' names of the codecs whose payloads are checked.
const (
	JSON  = "json"
	Proto = "proto"
)

// The nesting limits. A nested message takes two bytes of a protobuf payload
// and about a hundred bytes in memory; an object takes three bytes of JSON.
const (
	// maxDepth is the maximum nesting depth of messages, objects and lists.
	maxDepth = 100
	// minBound is the number of nested messages, objects and lists that any
	// payload may have. A larger payload may have one for each bytesPerNested
	// bytes.
	minBound       = 32 << 10
	bytesPerNested = 8
	// harmless is the payload size in bytes up to which neither limit can be
	// exceeded.
	harmless = 2 * maxDepth
)

// Errors of [Check].
var (
	ErrTooDeep = fmt.Errorf("payload is nested more than %d deep", maxDepth)
	ErrTooMany = errors.New("payload has too many nested messages, objects or lists for its size")
)

// Check checks a payload before it is decoded into body, for the two encodings
// that a remote client can choose: the codecs themselves would nest 10,000
// levels deep and allocate without limit. It returns [ErrTooDeep], [ErrTooMany]
// or nil. It does not report malformed payloads; the codec does.
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

// The number of bytes in memory per byte of payload: for a message with only
// plain fields, whose strings are copied once, and for any other message.
const (
	plainGrows  = 2
	othersGrows = 64
)

// Memory returns the maximum number of bytes that a payload of the given size
// takes when it has passed [Check] and is decoded into m.
func Memory(size int, m proto.Message) int {
	md := m.ProtoReflect().Descriptor()
	if plain(md) {
		return size * plainGrows
	}
	return size * othersGrows
}

func maxNested(size int) int { return max(minBound, size/bytesPerNested) }

// checkJSON counts the objects and lists, ignoring the content of strings.
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

// endOfString returns the index of the end of the string that starts at i.
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

// nested counts nested protobuf messages.
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

// valueOf returns the content of a field that may be a message, or nil for any
// other field, and the size of the field in bytes, which is negative if it is
// malformed.
func valueOf(num protowire.Number, typ protowire.Type, data []byte) ([]byte, int) {
	switch typ {
	case protowire.BytesType:
		return protowire.ConsumeBytes(data)
	case protowire.StartGroupType:
		return protowire.ConsumeGroup(num, data)
	}
	return nil, protowire.ConsumeFieldValue(num, typ, data)
}

// messageIn returns the message type of a field, or nil if it is not a message.
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

// flat reports whether no field is a message. Most events are flat.
func flat(md protoreflect.MessageDescriptor) bool {
	return without(md, func(fd protoreflect.FieldDescriptor) bool { return fd.Message() != nil })
}

// plain reports whether each field has a single value.
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
