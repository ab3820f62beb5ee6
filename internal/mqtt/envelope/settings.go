package envelope

import (
	"context"
	"fmt"

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
	// Codec is that of messages that name none; nil sends and receives bytes and
	// texts as they are.
	Codec Codec
	// Codecs returns the codec of a name, nil for one that is not known. Nil knows
	// none.
	Codecs func(name string) Codec
	// Source is the source of our CloudEvents, and has all messages sent as
	// structured events; "" sends bare messages.
	Source string
	// MaxPayload is the largest CloudEvent that headers of the context are added to,
	// and MaxInbound the largest payload that is decoded, in bytes; 0 is
	// [DefaultMaxPayload].
	MaxPayload, MaxInbound int
	// IDs also sets ids on ready bytes.
	IDs bool
	// Metadata returns the headers that the context of a publish asks for, in the
	// order in which they get room. Nil has none.
	Metadata func(ctx context.Context) []session.UserProperty
	// Trust configures which context is accepted from senders.
	Trust Trust
	// CheckHeaders refuses headers that somebody else sets later on. Nil refuses
	// none.
	CheckHeaders func(list []session.UserProperty) error
	// Speaks returns the version of MQTT that the broker turned out to speak. Nil
	// is not known.
	Speaks func() session.Protocol
	// Losses count what is left out. Required where Metadata or propagators are.
	Losses *Losses
}

// Named returns the codec of that name, or that of the settings when name is
// empty, which is nil where only bytes and texts are sent and received.
func (s *Settings) Named(name string) (Codec, error) {
	if name == "" {
		return s.Codec, nil
	}
	if codec := s.registered(name); codec != nil {
		return codec, nil
	}
	return nil, fmt.Errorf("codec %q is not registered", name)
}

func (s *Settings) registered(name string) Codec {
	if s.Codecs == nil {
		return nil
	}
	return s.Codecs(name)
}

// bare reports whether messages have no place for headers, as far as that is known.
func (s *Settings) bare() bool {
	return s.Source == "" && s.Speaks != nil && s.Speaks() == session.Version31
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
		return s.registered(jsonCodec)
	case f == message.FormatProto:
		return s.registered(protoCodec)
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
