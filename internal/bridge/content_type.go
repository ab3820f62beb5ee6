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
)

// contentType names the encoding of a codec of Kratos.
func contentType(codec string) string {
	switch codec {
	case "json":
		return typeJSON
	case "proto":
		return typeProto
	}
	return "application/" + codec
}

// codecOf gives the registered codec that a content type names, or nil. The
// common names are looked at first, as they are sent.
func codecOf(contentType string) encoding.Codec {
	switch contentType {
	case "":
		return nil
	case typeJSON:
		return encoding.GetCodec("json")
	case typeProto:
		return encoding.GetCodec("proto")
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
	case "protobuf", "x-protobuf", "vnd.google.protobuf":
		sub = "proto"
	}
	return encoding.GetCodec(sub)
}

// isJSON says whether a content type is JSON text.
func isJSON(contentType string) bool {
	media, _, _ := mime.ParseMediaType(contentType)
	return media == typeJSON || strings.HasSuffix(media, "+json") || media == "text/json"
}

// pick gives the codec of a message: the one that its content type names, or
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
	if _, ok := body.(proto.Message); !ok && c.Name() == "proto" {
		return own
	}
	return c
}
