package envelope

import (
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

const (
	jsonCodec  = "json"
	protoCodec = "proto"
)

// contentType names the encoding of a codec of Kratos.
func contentType(codec string) string {
	switch codec {
	case jsonCodec:
		return message.TypeJSON
	case protoCodec:
		return message.TypeProto
	}
	return "application/" + codec
}

// codecOf returns the codec that a content type names, or nil. Whoever may publish
// chooses the content type, so that the codec is one of the two that are safe to be given anything;
// others that the process has registered, such as YAML, or one that inflates,
// are for subscriptions to ask for.
func (s *Settings) codecOf(contentType string) Codec {
	switch f := message.FormatOf(contentType); {
	case f.IsJSON():
		return s.registered(jsonCodec)
	case f == message.FormatProto:
		return s.registered(protoCodec)
	}
	return nil
}

// CodecFor returns the codec of a message: the one that its content type names, or
// else own, the subscription's. Without a codec the subscription wants the bytes, and
// protobuf cannot fill what is no message of protobuf.
func (s *Settings) CodecFor(own Codec, contentType string, body any) Codec {
	if own == nil {
		return nil
	}
	c := s.codecOf(contentType)
	if c == nil {
		return own
	}
	if _, ok := body.(proto.Message); !ok && c.Name() == protoCodec {
		return own
	}
	return c
}
