package bridge

import (
	"github.com/go-kratos/kratos/v2/encoding"
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
// chooses it, so that it is one of the two that are safe to be given anything;
// others that the process has registered, such as YAML, or one that inflates,
// are for subscriptions to ask for.
func codecOf(contentType string) encoding.Codec {
	switch f := message.FormatOf(contentType); {
	case f.IsJSON():
		return encoding.GetCodec(jsonCodec)
	case f == message.FormatProto:
		return encoding.GetCodec(protoCodec)
	}
	return nil
}

// pick returns the codec of a message: the one that its content type names, or
// else the subscription's. Without a codec the subscription wants the bytes,
// and protobuf cannot fill what is no message of protobuf.
func pick(own encoding.Codec, contentType string, body any) encoding.Codec {
	if own == nil {
		return nil
	}
	c := codecOf(contentType)
	if c == nil {
		return own
	}
	if _, ok := body.(proto.Message); !ok && c.Name() == protoCodec {
		return own
	}
	return c
}
