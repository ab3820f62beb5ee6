package badinput_test

import (
	"bytes"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const asProto = "application/protobuf"

func repeatedBytes(b string, n int) func() []byte {
	return func() []byte { return bytes.Repeat([]byte(b), n) }
}

// wrap nests data in fields, starting with the innermost.
func wrap(levels int, inner []byte, fields ...protowire.Number) func() []byte {
	return func() []byte {
		data := inner
		for range levels {
			for _, f := range fields {
				data = append(protowire.AppendTag(nil, f, protowire.BytesType), protowire.AppendBytes(nil, data)...)
			}
		}
		return data
	}
}

// entries encodes n entries of a map in field 1, each with a message.
func entries(n int) func() []byte {
	return func() (data []byte) {
		for i := range n {
			entry := append([]byte{0x0A, 3}, byte('0'+i%10), byte('0'+i/10%10), byte('0'+i/100%10))
			data = append(append(data, 0x0A), protowire.AppendBytes(nil, append(entry, 0x12, 0))...)
		}
		return wrap(1, data, 5)()
	}
}

// anyIn encodes nested Any messages.
func anyIn(levels int) func() []byte {
	return func() []byte {
		a := &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.Any"}
		for range levels {
			data, _ := proto.Marshal(a)
			a = &anypb.Any{TypeUrl: a.TypeUrl, Value: data}
		}
		data, _ := proto.Marshal(a)
		return data
	}
}

func protoBombs() []bomb {
	p := func(rule, name, topic, want string, payload func() []byte) bomb {
		return bomb{rule: "protobuf " + rule, name: name, topic: topic, contentType: asProto, payload: payload, want: want}
	}
	anyJSON := func(name, want string, payload func() []byte) bomb {
		return bomb{rule: "Any in JSON", name: name, topic: "proto/any", contentType: asJSON, payload: payload, want: want}
	}
	const member = "type.googleapis.com/google.protobuf.Any"
	return []bomb{
		p("depth", "98 messages", "proto/list", "", wrap(49, nil, 6, 1)),
		p("depth", "102 messages", "proto/list", deep, wrap(51, nil, 6, 1)),
		p("depth", "4,000 messages", "proto/list", deep, wrap(2_000, nil, 6, 1)),
		p("depth", "600 nested types", "proto/file", deep, wrap(1, wrap(600, nil, 3)(), 4)),
		p("depth", "600 deep in a map", "proto/value", deep, wrap(200, nil, 2, 1, 5)),
		p("depth", "300 groups that are not known", "proto/list", "", func() []byte {
			return append(bytes.Repeat([]byte{0x7B}, 300), bytes.Repeat([]byte{0x7C}, 300)...)
		}),
		p("depth", "100,000 groups that are not known", "proto/list", codec, func() []byte {
			return append(bytes.Repeat([]byte{0x7B}, 100_000), bytes.Repeat([]byte{0x7C}, 100_000)...)
		}),
		p("depth", "groups without an end", "proto/list", codec, repeatedBytes("\x7b", 250_000)),
		p("depth", "ends of groups without a begin", "proto/list", codec, repeatedBytes("\x7c", 1_000)),
		p("depth", "a group that another one ends", "proto/list", codec, text("\x7b\x74")),
		p("depth", "nested bytes, which are no messages", "proto/string", "", wrap(500, []byte("a"), 15)),

		p("count", "32,768 empty messages", "proto/list", "", repeatedBytes("\x0a\x00", 32_768)),
		p("count", "32,769 empty messages", "proto/list", many, repeatedBytes("\x0a\x00", 32_769)),
		p("count", "131,072 empty messages", "proto/list", many, repeatedBytes("\x0a\x00", 131_072)),
		p("count", "131,072 empty messages with many fields", "proto/file", many, repeatedBytes("\x22\x00", 131_072)),
		p("count", "20,000 entries of a map", "proto/value", many, entries(20_000)),
		p("count", "15,000 entries of a map", "proto/value", "", entries(15_000)),
		p("count", "131,072 empty strings", "proto/file", "", repeatedBytes("\x1a\x00", 131_072)),
		p("count", "131,072 times the same field", "proto/int64", "", repeatedBytes("\x08\x01", 131_072)),
		p("count", "131,072 times the same message", "proto/value", many, repeatedBytes("\x32\x00", 131_072)),
		p("count", "131,072 times another member of a oneof", "proto/value", "", repeatedBytes("\x08\x00\x20\x01", 65_536)),
		p("count", "131,072 fields that are not known", "proto/string", "", repeatedBytes("\x7a\x00", 131_072)),
		p("count", "65,536 numbers that are not known", "proto/string", "", repeatedBytes("\x78\x01", 65_536)),
		p("count", "262,000 packed numbers", "proto/file", "", wrap(1, bytes.Repeat([]byte{1}, 262_000), 10)),
		p("count", "many in one that is deep", "proto/list", many, wrap(20, bytes.Repeat([]byte{0x0A, 0}, 60_000), 6, 1)),

		p("form", "length of 2 GiB", "proto/string", codec, text("\x0a\xff\xff\xff\xff\x07a")),
		p("form", "length over 63 bits", "proto/string", codec, text("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01a")),
		p("form", "length one too many", "proto/string", codec, text("\x0a\x02a")),
		p("form", "number of eleven bytes", "proto/int64", codec, text("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")),
		p("form", "number cut off", "proto/int64", codec, text("\x08\x80")),
		p("form", "field number 0", "proto/string", codec, text("\x02\x00")),
		p("form", "field number too large", "proto/string", codec, text("\xfa\xff\xff\xff\x7f\x00")),
		p("form", "wire type 6", "proto/string", codec, text("\x0e\x00")),
		p("form", "wire type 7", "proto/string", codec, text("\x0f\x00")),
		p("form", "eight bytes cut off", "proto/double", codec, text("\x09\x00\x00\x00")),
		p("form", "packed numbers cut off", "proto/file", codec, text("\x52\x02\x01\x80")),
		p("form", "string that is no UTF-8", "proto/string", codec, text("\x0a\x02\xff\xfe")),
		p("form", "string of a surrogate", "proto/string", codec, text("\x0a\x03\xed\xa0\x80")),
		p("form", "key of a map that is no UTF-8", "proto/value", codec, text("\x2a\x05\x0a\x03\x0a\x01\xff")),
		p("form", "string of 256 KiB", "proto/string", "", wrap(1, bytes.Repeat([]byte("x"), kib<<10-5), 1)),
		p("form", "other type for a field", "proto/int64", "", text("\x0a\x01a")), // unknown, then
		p("form", "nothing", "proto/string", "", text("")),
		p("form", "JSON", "proto/string", codec, text(`{"value":"a"}`)),
		p("form", "random bytes", "proto/file", codec, text("\x93\x5a\x01\xfe\x77\x00\xc4\x9c")),

		p("Any", "Any in Any, 600 deep", "proto/any", "", anyIn(600)), // bytes, until somebody unpacks them
		p("Any", "name of a type of 250 KiB", "proto/any", "", wrap(1, bytes.Repeat([]byte("x"), 250<<10), 1)),
		p("Any", "name of a type that is no UTF-8", "proto/any", codec, text("\x0a\x01\xff")),
		anyJSON("type that is not known", codec, text(`{"@type":"type.googleapis.com/no.such.Type"}`)),
		anyJSON("type from another host", codec, text(`{"@type":"http://127.0.0.1:1/no.such.Type"}`)),
		anyJSON("no type", "", text(`{"value":1}`)),
		anyJSON("type twice", codec, text(`{"@type":"`+member+`","@type":"`+member+`"}`)),
		anyJSON("type with a line feed", codec, text(`{"@type":"a\nERROR forged"}`)),
		anyJSON("type of 250 KiB", codec, repeated(`{"@type":"`, "x", 250<<10, `"}`)),
		anyJSON("Any in Any, 101 deep", deep, nested(`{"@type":"`+member+`","value":`, "{}", "}", 101)),
		anyJSON("Any in Any, 40 deep, type last", "", nested(`{"value":`, "{}", `,"@type":"`+member+`"}`, 40)),
		anyJSON("list of 80,000 objects", many, func() []byte {
			return []byte(`{"@type":"type.googleapis.com/google.protobuf.ListValue","value":[` + strings.Repeat("{},", 80_000) + `{}]}`)
		}),
	}
}
