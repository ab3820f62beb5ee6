package bridge

import (
	"errors"
	"fmt"

	"github.com/go-kratos/kratos/v2/encoding"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

// What a payload may make of itself in memory. A nested message of protobuf
// takes two bytes of a payload and some hundred in memory, an object of JSON
// three.
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

var (
	errTooDeep = fmt.Errorf("payload is nested more than %d deep", maxDepth)
	errTooMany = errors.New("payload has too many nested messages, objects or lists for its size")
)

// checkBounds looks over a payload in one of the two encodings that a stranger
// can choose before it is decoded: its own code would go 10,000 deep and
// allocate without a bound. It leaves it to the codec to say what is malformed.
func checkBounds(codec encoding.Codec, data []byte, body any) error {
	if len(data) <= harmless {
		return nil
	}
	switch codec.Name() {
	case jsonCodec:
		return checkJSON(data)
	case protoCodec:
		if m, ok := body.(proto.Message); ok {
			n := nested{left: maxNested(len(data))}
			return n.message(data, m.ProtoReflect().Descriptor(), 1)
		}
	}
	return nil
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
			return errTooDeep
		}
	}
	if left < 0 {
		return errTooMany
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
		return errTooDeep
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
				return errTooMany
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

// flat says that no field is a message, as of most events.
func flat(md protoreflect.MessageDescriptor) bool {
	if md.ExtensionRanges().Len() > 0 {
		return false
	}
	fields := md.Fields()
	for i := range fields.Len() {
		if fields.Get(i).Message() != nil {
			return false
		}
	}
	return true
}
