package null

import "encoding/binary"

// Types of control packets, in the upper half of the first byte.
const (
	connect     = 1
	publish     = 3
	puback      = 4
	subscribe   = 8
	unsubscribe = 10
	pingreq     = 12
	disconnect  = 14
)

// header reads a fixed header and returns its size: 0 means that it is incomplete, -1 that
// it is not MQTT.
func header(b []byte) (remaining, size int) {
	for i := 1; i < len(b) && i < 5; i++ {
		remaining |= int(b[i]&0x7F) << (7 * (i - 1))
		if b[i] < 0x80 {
			return remaining, i + 1
		}
	}
	if len(b) >= 5 {
		return 0, -1
	}
	return 0, 0
}

// varint reads a variable byte integer and returns the rest of b.
func varint(b []byte) (n int, rest []byte) {
	for i := 0; i < len(b) && i < 4; i++ {
		n |= int(b[i]&0x7F) << (7 * i)
		if b[i] < 0x80 {
			return n, b[i+1:]
		}
	}
	return 0, nil
}

func appendVarint(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

// field reads bytes that are preceded by their length in two bytes.
func field(b []byte) (f, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b) < 2+n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// AppendPublish appends a PUBLISH frame to dst and returns the offsets of its packet
// identifier (QoS above 0) and of its payload.
func AppendPublish(dst []byte, version, qos byte, topic string, id uint16, payload []byte) (frame []byte, idAt, payloadAt int) {
	remaining := 2 + len(topic) + len(payload)
	if qos > 0 {
		remaining += 2
	}
	if version == 5 {
		remaining++
	}
	dst = appendVarint(append(dst, publish<<4|qos<<1), remaining)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(topic)))
	dst = append(dst, topic...)
	idAt = len(dst)
	if qos > 0 {
		dst = binary.BigEndian.AppendUint16(dst, id)
	}
	if version == 5 {
		dst = append(dst, 0)
	}
	payloadAt = len(dst)
	return append(dst, payload...), idAt, payloadAt
}

// receiveMaximum returns the Receive Maximum of an MQTT 5 CONNECT, 65,535 by default.
func receiveMaximum(props []byte) int {
	for len(props) > 0 {
		id := props[0]
		props = props[1:]
		switch id {
		case 0x21:
			if len(props) >= 2 {
				return int(binary.BigEndian.Uint16(props))
			}
			return 65535
		case 0x11, 0x27: // session expiry, maximum packet size
			props = skip(props, 4)
		case 0x22: // topic alias maximum
			props = skip(props, 2)
		case 0x17, 0x19: // request problem and response information
			props = skip(props, 1)
		case 0x15, 0x16: // authentication
			_, props, _ = field(props)
		case 0x26: // user property
			_, props, _ = field(props)
			_, props, _ = field(props)
		default:
			return 65535
		}
	}
	return 65535
}

func skip(b []byte, n int) []byte { return b[min(n, len(b)):] }
