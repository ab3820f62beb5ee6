package mqtt

import (
	"github.com/go-kratos/kratos/v3/encoding"
	"github.com/go-kratos/kratos/v3/encoding/json"
	_ "github.com/go-kratos/kratos/v3/encoding/proto" // the other codec of generated code
	"github.com/go-kratos/kratos/v3/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// codecNamed looks up a codec in Kratos' registry. The codec "json" writes protobuf messages
// as ProtoJSON: that is what contracts of events describe and what Kratos v2 writes, but
// Kratos v3 does it in a codec of its own, "protojson".
func codecNamed(name string) envelope.Codec {
	c := encoding.GetCodec(name)
	switch {
	case c == nil:
		return nil
	case name == json.Name:
		if p := encoding.GetCodec(protojson.Name); p != nil {
			return jsonCodec{Codec: c, message: p}
		}
	}
	return c
}

// jsonCodec is the codec "json", with another one for protobuf messages.
type jsonCodec struct {
	encoding.Codec
	message encoding.Codec
}

// Marshal implements envelope.Codec.
func (c jsonCodec) Marshal(v any) ([]byte, error) { return c.of(v).Marshal(v) }

// Unmarshal implements envelope.Codec.
func (c jsonCodec) Unmarshal(data []byte, v any) error { return c.of(v).Unmarshal(data, v) }

func (c jsonCodec) of(v any) encoding.Codec {
	if _, ok := v.(proto.Message); ok {
		return c.message
	}
	return c.Codec
}
