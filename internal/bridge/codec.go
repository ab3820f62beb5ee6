package bridge

import (
	"errors"
	"fmt"

	"github.com/go-kratos/kratos/v2/encoding"
	"google.golang.org/protobuf/proto"
)

var errNoCodec = errors.New("no codec: it is not registered, or none was set")

// codecs picks the codec of one message.
type codecs struct{ standard encoding.Codec }

// named gives the codec of that name, or the broker's when name is empty.
func (c codecs) named(name string) (encoding.Codec, error) {
	if name == "" {
		return c.standard, nil
	}
	if codec := encoding.GetCodec(name); codec != nil {
		return codec, nil
	}
	return nil, fmt.Errorf("codec %q is not registered", name)
}

// marshal never panics: the proto codec of Kratos asserts its argument's type.
func marshal(codec encoding.Codec, body any) (data []byte, err error) {
	if codec == nil {
		switch b := body.(type) {
		case []byte:
			return b, nil
		case string:
			return []byte(b), nil
		}
		return nil, errNoCodec
	}
	if _, ok := body.(proto.Message); !ok && codec.Name() == "proto" {
		return nil, fmt.Errorf("codec proto cannot encode a %T: it is no proto.Message (a pointer is)", body)
	}
	defer recovered(codec, &err)
	return codec.Marshal(body)
}

// unmarshal never panics, whatever arrives.
func unmarshal(codec encoding.Codec, data []byte, body any) (err error) {
	if codec == nil {
		switch b := body.(type) {
		case *[]byte:
			*b = data
			return nil
		case *string:
			*b = string(data)
			return nil
		}
		return errNoCodec
	}
	defer recovered(codec, &err)
	return codec.Unmarshal(data, body)
}

func recovered(codec encoding.Codec, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("codec %s panicked: %v", codec.Name(), r)
	}
}
