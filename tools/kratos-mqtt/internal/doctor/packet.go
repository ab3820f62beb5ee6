package doctor

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Properties of CONNECT that are used here.
const (
	propSessionExpiry     = 0x11
	propReceiveMaximum    = 0x21
	propTopicAliasMaximum = 0x22
)

// sessionSeconds is how long the broker keeps a session if the doctor cannot end it.
const sessionSeconds = 300

// keepAliveSeconds is longer than any measurement leaves a connection idle.
const keepAliveSeconds = 120

// framed returns a packet with its fixed header.
func framed(first byte, body []byte) []byte {
	return append(binary.AppendUvarint([]byte{first}, uint64(len(body))), body...)
}

func appendText(b []byte, text string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(text))), text...)
}

// appendProperties appends the properties of a packet of MQTT 5.
func appendProperties(b []byte, version wire.Version, properties []byte) []byte {
	if version != wire.V5 {
		return b
	}
	return append(binary.AppendUvarint(b, uint64(len(properties))), properties...)
}

func connectPacket(l login, username, password string) []byte {
	var flags byte
	if l.clean {
		flags |= 2
	}
	if username != "" {
		flags |= 0x80
	}
	if password != "" {
		flags |= 0x40
	}
	b := append(appendText(nil, "MQTT"), byte(l.version), flags)
	b = binary.BigEndian.AppendUint16(b, keepAliveSeconds)
	var properties []byte
	if l.keep {
		properties = binary.BigEndian.AppendUint32(append(properties, propSessionExpiry), sessionSeconds)
	}
	if l.receiveMaximum > 0 {
		properties = binary.BigEndian.AppendUint16(append(properties, propReceiveMaximum), l.receiveMaximum)
	}
	if l.aliasMaximum > 0 {
		properties = binary.BigEndian.AppendUint16(append(properties, propTopicAliasMaximum), l.aliasMaximum)
	}
	b = appendText(appendProperties(b, l.version, properties), l.clientID)
	if username != "" {
		b = appendText(b, username)
	}
	if password != "" {
		b = appendText(b, password)
	}
	return framed(byte(wire.TypeConnect)<<4, b)
}

func subscribePacket(version wire.Version, id uint16, filter string, qos byte) []byte {
	b := appendProperties(binary.BigEndian.AppendUint16(nil, id), version, nil)
	return framed(byte(wire.TypeSubscribe)<<4|2, append(appendText(b, filter), qos))
}

// suback returns the packet identifier and the first reason code.
func suback(version wire.Version, body []byte) (id uint16, code byte, err error) {
	id, n, err := wire.SubackCount(version, byte(wire.TypeSuback)<<4, body)
	if err != nil {
		return 0, 0, err
	}
	return id, body[len(body)-n], nil
}

// refusedError is a CONNACK that refuses.
type refusedError struct {
	version wire.Version
	code    byte
}

// Error returns the code and its name.
func (e *refusedError) Error() string {
	return "CONNACK " + codeText(wire.TypeConnack, e.version, e.code)
}

// refusal returns how the broker refused a packet, by the code of its acknowledgement of type t or
// by ending the connection, and "" if it did not. Any other error is returned.
func (e *exam) refusal(t wire.Type, code byte, err error) (string, error) {
	if _, closed := errors.AsType[*closedError](err); closed {
		return problem(err), nil
	}
	if err == nil && code >= wire.ReasonError {
		return "refused with " + codeText(t, e.version, code), nil
	}
	return "", err
}

// codeText returns a reason code with its name.
func codeText(t wire.Type, version wire.Version, code byte) string {
	name := wire.ReasonName(t, version, code)
	if version != wire.V5 && t == wire.TypeConnack {
		return fmt.Sprintf("code %d (%s)", code, name)
	}
	return fmt.Sprintf("0x%02X (%s)", code, name)
}
