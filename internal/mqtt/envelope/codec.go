package envelope

import (
	"errors"
	"fmt"
	"reflect"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
)

var errNoCodec = errors.New("no codec: it is not registered, or none was set")

// Codec encodes and decodes payloads. The codecs of Kratos implement it, and have the same
// names here. A Codec must be safe for concurrent use.
type Codec interface {
	// Marshal encodes v.
	Marshal(v any) ([]byte, error)
	// Unmarshal decodes data into what v points to.
	Unmarshal(data []byte, v any) error
	// Name is the name of the codec, in lower case.
	Name() string
}

// marshal never panics: the codec "proto" of Kratos asserts its argument's type.
func marshal(codec Codec, body any) (data []byte, err error) {
	if codec == nil {
		switch b := body.(type) {
		case []byte:
			return b, nil
		case string:
			return []byte(b), nil
		}
		return nil, errNoCodec
	}
	if _, ok := body.(proto.Message); !ok && codec.Name() == protoCodec {
		return nil, fmt.Errorf("codec proto cannot encode a %T: want a proto.Message, which is a pointer", body)
	}
	defer recovered(codec, &err)
	return codec.Marshal(body)
}

// decode decodes data into the value of a binder and returns the message body. For a
// binder that returns a value instead of a pointer, the body is a value, too.
func decode(codec Codec, data []byte, body any) (any, error) {
	if v := reflect.ValueOf(body); v.IsValid() && v.Kind() != reflect.Pointer {
		p := reflect.New(v.Type())
		p.Elem().Set(v)
		err := unmarshal(codec, data, p.Interface())
		return p.Elem().Interface(), err
	}
	return body, unmarshal(codec, data, body)
}

// unmarshal never panics, whatever the data.
func unmarshal(codec Codec, data []byte, body any) (err error) {
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
	if codec.Name() == jsonCodec {
		data = message.JSONText(data)
	}
	if err := bounds.Check(codec.Name(), data, body); err != nil {
		return err
	}
	defer recovered(codec, &err)
	return codec.Unmarshal(data, body)
}

// CheckDecodable returns an error at registration if decoding would fail for every
// message: body is what a binder returns, and codec is to decode into it.
func CheckDecodable(codec Codec, body any) error {
	if body == nil {
		return errors.New("the binder returned nil")
	}
	if codec != nil {
		return nil
	}
	switch body.(type) {
	case *[]byte, *string, []byte, string:
		return nil
	}
	return errNoCodec
}

func recovered(codec Codec, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("codec %s panicked: %v", codec.Name(), r)
	}
}
