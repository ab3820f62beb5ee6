package decode

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxDepth is how deep fields shows messages in messages; what is deeper is shown as bytes.
// maxValues bounds the memory: a value may have two bytes in a payload.
const (
	maxDepth  = 16
	maxValues = 10_000
)

// maxExact is the largest integer that every reader of JSON keeps exactly (RFC 8259, section 6).
const maxExact = 1 << 53

// fields returns the fields of a payload in protobuf's wire format, by their numbers, and
// whether it is in that format. Integers above 2^53 are strings, as in protobuf's JSON; a
// field that occurs several times is a list.
func fields(payload []byte) (string, bool) {
	p := parser{left: maxValues}
	list, ok := p.message(payload, 0)
	if !ok || len(list) == 0 {
		return "", false
	}
	text, err := json.Marshal(list)
	return string(text), err == nil
}

// field is a number with its values.
type field struct {
	number protowire.Number
	values []any
}

// numbered is a message without names.
type numbered []field

// MarshalJSON returns an object whose keys are numbers, in the order of their first values.
func (n numbered) MarshalJSON() ([]byte, error) {
	b := []byte("{")
	for i, f := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(append(b, '"'), int64(f.number), 10), '"', ':')
		var value any = f.values
		if len(f.values) == 1 {
			value = f.values[0]
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		b = append(b, text...)
	}
	return append(b, '}'), nil
}

type parser struct{ left int }

// message returns the fields of a message, and whether data is one.
func (p *parser) message(data []byte, depth int) (list numbered, ok bool) {
	at := make(map[protowire.Number]int)
	for len(data) > 0 {
		number, typ, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil, false
		}
		value, size := p.value(number, typ, data[n:], depth)
		if p.left--; size < 0 || p.left < 0 {
			return nil, false
		}
		i, known := at[number]
		if !known {
			i, at[number] = len(list), len(list)
			list = append(list, field{number: number})
		}
		list[i].values = append(list[i].values, value)
		data = data[n+size:]
	}
	return list, true
}

// value returns a value and its size, which is negative if there is no valid one.
func (p *parser) value(number protowire.Number, typ protowire.Type, data []byte, depth int) (value any, size int) {
	switch typ {
	case protowire.VarintType:
		v, n := protowire.ConsumeVarint(data)
		return exact(v), n
	case protowire.Fixed64Type:
		v, n := protowire.ConsumeFixed64(data)
		return exact(v), n
	case protowire.Fixed32Type:
		v, n := protowire.ConsumeFixed32(data)
		return v, n
	case protowire.BytesType:
		v, n := protowire.ConsumeBytes(data)
		return p.content(v, depth), n
	}
	// A group, which proto3 no longer has.
	v, n := protowire.ConsumeGroup(number, data)
	return v, n
}

func exact(v uint64) any {
	if v > maxExact {
		return strconv.FormatUint(v, 10)
	}
	return v
}

// content returns a text, else a message, else bytes, which are in base64.
func (p *parser) content(v []byte, depth int) any {
	if utf8.Valid(v) && bytes.IndexFunc(v, control) < 0 {
		return string(v)
	}
	if depth < maxDepth {
		if list, ok := p.message(v, depth+1); ok {
			return list
		}
	}
	return v
}
