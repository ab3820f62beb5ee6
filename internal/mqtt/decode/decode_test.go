package decode_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
)

// The fields of an unknown message are shown by their numbers, exactly, in bounded memory.
func TestFields(t *testing.T) {
	t.Parallel()
	tag := protowire.AppendTag
	inner := slices.Clip(protowire.AppendVarint(tag(nil, 1, protowire.VarintType), 1))
	group := append(tag(nil, 4, protowire.StartGroupType), tag(nil, 4, protowire.EndGroupType)...)
	d := decode.New(new(protoregistry.Files))
	for name, test := range map[string]struct {
		payload       []byte
		decoder, text string
	}{
		"varints":        {protowire.AppendVarint(tag(inner, 1, protowire.VarintType), 1<<63), decode.Fields, `{"1":[1,"9223372036854775808"]}`},
		"message":        {protowire.AppendBytes(tag(nil, 2, protowire.BytesType), inner), decode.Fields, `{"2":{"1":1}}`},
		"text":           {protowire.AppendString(tag(inner, 3, protowire.BytesType), "fern\x00"), decode.Fields, `{"1":1,"3":"ZmVybgA="}`},
		"fixed":          {protowire.AppendFixed32(tag(nil, 9, protowire.Fixed32Type), 7), decode.Fields, `{"9":7}`},
		"fixed of 64":    {protowire.AppendFixed64(tag(nil, 9, protowire.Fixed64Type), 7), decode.Fields, `{"9":7}`},
		"group":          {append(inner, group...), decode.Fields, `{"1":1,"4":""}`},
		"cut off":        {tag(inner, 2, protowire.BytesType), decode.Raw, ""},
		"field 0":        {[]byte{0, 1}, decode.Raw, ""},
		"too many":       {bytes.Repeat([]byte{0x0A, 0}, 10_001), decode.Raw, ""},
		"not too many":   {bytes.Repeat([]byte{0x0A, 0}, 10_000), decode.Fields, `{"1":["",""`},
		"a line of text": {[]byte("fern"), decode.Text, "fern"},
	} {
		got := d.Decode(decode.Payload{Bytes: test.payload})
		if got.Decoder != test.decoder || !strings.HasPrefix(got.Text, test.text) || got.Decoder == decode.Fields && !json.Valid([]byte(got.Text)) {
			t.Errorf("%s: %q %.100q, want %q %q", name, got.Decoder, got.Text, test.decoder, test.text)
		}
	}
}

func FuzzFields(f *testing.F) {
	f.Add(protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), []byte{8, 1}))
	d := decode.New(new(protoregistry.Files))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if got := d.Decode(decode.Payload{Bytes: payload}); got.Decoder == decode.Fields && !json.Valid([]byte(got.Text)) {
			t.Errorf("%q is not JSON", got.Text)
		}
	})
}
