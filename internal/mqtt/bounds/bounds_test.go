package bounds

import (
	"bytes"
	"errors"
	"runtime"
	"strings"
	"testing"

	"github.com/go-kratos/kratos/v2/encoding"
	_ "github.com/go-kratos/kratos/v2/encoding/json"
	_ "github.com/go-kratos/kratos/v2/encoding/proto"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// deepList returns a protobuf list nested in lists, levels deep.
func deepList(levels int) []byte {
	var data []byte
	for range levels {
		value := append(protowire.AppendTag(nil, 6, protowire.BytesType), protowire.AppendBytes(nil, data)...)
		data = append(protowire.AppendTag(nil, 1, protowire.BytesType), protowire.AppendBytes(nil, value)...)
	}
	return data
}

// emptyMessages returns as many empty nested messages as fit into size, two
// bytes each.
func emptyMessages(size int) []byte { return bytes.Repeat([]byte{0x0A, 0}, size/2) }

func TestBounds(t *testing.T) {
	t.Parallel()
	list := func() any { return new(structpb.ListValue) }
	object := func() any { return new(any) }
	tests := map[string]struct {
		codec string
		data  []byte
		body  func() any
		want  error
	}{
		"protobuf 98 deep":          {"proto", deepList(49), list, nil},
		"protobuf 102 deep":         {"proto", deepList(51), list, ErrTooDeep},
		"protobuf 4,000 deep":       {"proto", deepList(2_000), list, ErrTooDeep},
		"protobuf just enough":      {"proto", emptyMessages(2 * minBound), list, nil},
		"protobuf one too many":     {"proto", emptyMessages(2*minBound + 2), list, ErrTooMany},
		"protobuf many of a string": {"proto", bytes.Repeat([]byte{0x0A, 0}, 60_000), func() any { return new(wrapperspb.StringValue) }, nil},
		"protobuf unknown fields":   {"proto", bytes.Repeat([]byte{0x7A, 0}, 60_000), list, nil},
		"protobuf unknown group":    {"proto", append(bytes.Repeat([]byte{0x7B}, 300), bytes.Repeat([]byte{0x7C}, 300)...), list, nil},
		"JSON 100 deep":             {"json", []byte(strings.Repeat("[", 100) + strings.Repeat("]", 150)), nil, nil},
		"JSON 101 deep":             {"json", []byte(strings.Repeat("[", 101) + strings.Repeat("]", 101)), object, ErrTooDeep},
		"JSON of objects":           {"json", []byte(strings.Repeat(`{"a":`, 101) + "1" + strings.Repeat("}", 101)), object, ErrTooDeep},
		"JSON brackets in a string": {"json", []byte(`"` + strings.Repeat(`[{\"`, 200) + `"`), object, nil},
		"JSON just enough":          {"json", []byte("[" + strings.Repeat("{},", minBound-2) + "{}]"), object, nil},
		"JSON too many":             {"json", []byte("[" + strings.Repeat("{},", minBound) + "{}]"), object, ErrTooMany},
		"another codec":             {"form", deepList(2_000), list, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var body any
			if tt.body != nil {
				body = tt.body()
			}
			if err := Check(tt.codec, tt.data, body); !errors.Is(err, tt.want) || tt.want == nil && err != nil {
				t.Fatalf("got %v, want %v", err, tt.want)
			}
			if tt.body == nil || tt.want != nil || tt.codec == "form" {
				return
			}
			if err := encoding.GetCodec(tt.codec).Unmarshal(tt.data, tt.body()); err != nil && !strings.Contains(name, "group") {
				t.Errorf("not decoded: %v", err)
			}
		})
	}
}

// The limit on nested messages grows with the payload.
func TestBoundGrowsWithThePayload(t *testing.T) {
	t.Parallel()
	reading := append([]byte{0x0A, 8}, bytes.Repeat([]byte{0}, 8)...) // 10 bytes each
	data := bytes.Repeat(reading, 100_000)
	if err := Check("proto", data, new(structpb.ListValue)); err != nil {
		t.Error(err)
	}
}

// TestLargestAmplification checks the maximum memory of a payload of the
// default size limit. The guide states this figure, which is to be multiplied
// by the number of running handlers.
func TestLargestAmplification(t *testing.T) {
	const (
		payload = 256 << 10
		most    = 16 << 20 // bytes
	)
	heavy := map[string]struct {
		codec string
		data  []byte
		body  func() any
	}{
		"empty messages": {"proto", pad(emptyMessages(2*minBound), payload), func() any { return new(structpb.ListValue) }},
		"empty messages of many fields": {
			"proto", pad(bytes.Repeat([]byte{0x22, 0}, minBound), payload), func() any { return new(descriptorpb.FileDescriptorProto) },
		},
		"map entries":         {"proto", pad(mapEntries(minBound), payload), func() any { return new(structpb.Struct) }},
		"empty strings":       {"proto", bytes.Repeat([]byte{0x1A, 0}, payload/2), func() any { return new(descriptorpb.FileDescriptorProto) }},
		"packed integers":     {"proto", packed(payload), func() any { return new(descriptorpb.FileDescriptorProto) }},
		"JSON objects":        {"json", []byte("[" + strings.Repeat("{},", minBound-2) + "{}" + strings.Repeat(" ", payload-3*minBound) + "]"), func() any { return new(any) }},
		"JSON numbers":        {"json", []byte("[" + strings.Repeat("1,", payload/2-2) + "1]"), func() any { return new(any) }},
		"JSON objects, proto": {"json", []byte("[" + strings.Repeat("{},", minBound-2) + "{}]"), func() any { return new(structpb.ListValue) }},
		"JSON numbers, proto": {"json", []byte("[" + strings.Repeat("1,", payload/2-2) + "1]"), func() any { return new(structpb.ListValue) }},
		"JSON members":        {"json", members(payload), func() any { return new(any) }},
	}
	for name, h := range heavy {
		body := h.body()
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		err := encoding.GetCodec(h.codec).Unmarshal(h.data, body)
		runtime.GC()
		runtime.ReadMemStats(&after)
		live := int64(after.HeapAlloc) - int64(before.HeapAlloc)
		t.Logf("%-30s %7d bytes: %6.1f MiB live, %v", name, len(h.data), float64(live)/(1<<20), err)
		if live > most {
			t.Errorf("%s: %d bytes live", name, live)
		}
		if m, ok := body.(proto.Message); ok && live > int64(Memory(len(h.data), m)) {
			t.Errorf("%s: %d bytes live, %d at most by Memory", name, live, Memory(len(h.data), m))
		}
		runtime.KeepAlive(body)
	}
}

func pad(data []byte, size int) []byte {
	rest := size - len(data)
	unknown := protowire.AppendTag(nil, 15, protowire.BytesType)
	return append(data, append(unknown, protowire.AppendBytes(nil, make([]byte, max(0, rest-8)))...)...)
}

func mapEntries(n int) (data []byte) {
	for i := range n / 2 { // an entry contains key and value, and the value is a message
		key := string(rune(0x4E00 + i))
		entry := append(protowire.AppendTag(nil, 1, protowire.BytesType), protowire.AppendString(nil, key)...)
		entry = append(entry, 0x12, 0)
		data = append(append(data, 0x0A), protowire.AppendBytes(nil, entry)...)
	}
	return data
}

func packed(size int) []byte {
	return append(protowire.AppendTag(nil, 10, protowire.BytesType), protowire.AppendBytes(nil, make([]byte, size-8))...)
}

func members(size int) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := 0; b.Len() < size-10; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + string(rune(0x4E00+i%20_000)) + string(rune('a'+i/20_000)) + `":1`)
	}
	b.WriteByte('}')
	return b.Bytes()
}

func BenchmarkCheck(b *testing.B) {
	list, _ := structpb.NewList([]any{1.0, "two", map[string]any{"three": 3.0}, []any{true}})
	text, _ := list.MarshalJSON()
	binary, _ := proto.Marshal(list)
	for name, data := range map[string][]byte{"json": bytes.Repeat(text, 20), "proto": bytes.Repeat(binary, 20)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := Check(name, data, list); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
