package envelope

import (
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// DefaultMaxPayload is the largest payload in bytes, sent or received, where
// [Settings] say nothing.
const DefaultMaxPayload = 256 << 10

// Settings say how the messages of one client are written and read. They do not
// change once they are in use; all methods are safe for concurrent use. The zero
// value sends and receives bytes.
type Settings struct {
	// Codecs returns the codec of a name, nil for one that is not known. Nil knows
	// none.
	Codecs func(name string) Codec
	// Source is the source of our CloudEvents, and has all messages sent as
	// structured events; "" sends bare messages.
	Source string
	// MaxPayload is the largest payload that is sent, and MaxInbound the largest payload that is decoded, in bytes; 0 is
	// [DefaultMaxPayload].
	MaxPayload, MaxInbound int
	// IDs also sets ids on ready bytes.
	IDs bool
	// SentAt stamps encoded messages with the time of their publish, where there is a place
	// for it. CloudEvents have it anyway.
	SentAt bool
	// Trust configures which context is accepted from senders.
	Trust Trust
	// CheckHeaders refuses headers that somebody else sets later on. Nil refuses
	// none.
	CheckHeaders func(list []session.UserProperty) error
	// Losses count what is left out. Required where messages have headers of a context.
	Losses *Losses
}

// Registered returns the codec of a name, or nil.
func (s *Settings) Registered(name string) Codec {
	if s.Codecs == nil {
		return nil
	}
	return s.Codecs(name)
}

func (s *Settings) checkHeaders(list []session.UserProperty) error {
	if s.CheckHeaders == nil {
		return nil
	}
	return s.CheckHeaders(list)
}

// codecOf returns the codec that a content type names, or nil. The publisher chooses the
// content type, so only the two codecs that are safe for any input are used. Other
// registered codecs, such as YAML or one that decompresses, must be set by the
// subscription.
func (s *Settings) codecOf(contentType string) Codec {
	switch f := message.FormatOf(contentType); {
	case f.IsJSON():
		return s.Registered(jsonCodec)
	case f == message.FormatProto:
		return s.Registered(protoCodec)
	}
	return nil
}

// CodecFor returns the codec of a message: the one that its content type names, or else
// own, the codec of the subscription. A subscription without a codec receives the bytes,
// and the protobuf codec is used only for protobuf messages.
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
