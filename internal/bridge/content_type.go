package bridge

import (
	"mime"
	"strings"

	"github.com/go-kratos/kratos/v2/encoding"
	"google.golang.org/protobuf/proto"
)

const (
	typeJSON  = "application/json"
	typeProto = "application/protobuf"

	jsonCodec  = "json"
	protoCodec = "proto"
)

// contentType names the encoding of a codec of Kratos.
func contentType(codec string) string {
	switch codec {
	case jsonCodec:
		return typeJSON
	case protoCodec:
		return typeProto
	}
	return "application/" + codec
}

// codecOf returns the codec that a content type names, or nil. Whoever may publish
// chooses it, so that it is one of the two that are safe to be given anything;
// others that the process has registered, such as YAML, or one that inflates,
// are for subscriptions to ask for. The common names are looked at first, as
// they are sent.
func codecOf(contentType string) encoding.Codec {
	switch contentType {
	case "":
		return nil
	case typeJSON:
		return encoding.GetCodec(jsonCodec)
	case typeProto:
		return encoding.GetCodec(protoCodec)
	}
	media, _, err := mime.ParseMediaType(contentType)
	sub, ok := strings.CutPrefix(media, "application/")
	if err != nil || !ok {
		return nil
	}
	if i := strings.LastIndexByte(sub, '+'); i >= 0 {
		sub = sub[i+1:]
	}
	switch sub {
	case jsonCodec:
		return encoding.GetCodec(jsonCodec)
	case protoCodec, "protobuf", "x-protobuf", "vnd.google.protobuf":
		return encoding.GetCodec(protoCodec)
	}
	return nil
}

// isJSON reports whether a content type is JSON text.
func isJSON(contentType string) bool {
	media, _, _ := mime.ParseMediaType(contentType)
	return media == typeJSON || strings.HasSuffix(media, "+json") || media == "text/json"
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
