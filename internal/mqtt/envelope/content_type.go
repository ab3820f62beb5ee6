package envelope

import (
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
