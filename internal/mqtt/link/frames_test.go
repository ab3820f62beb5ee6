package link

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// frame returns a packet with a correct length.
func frame(first byte, body ...byte) []byte {
	b := []byte{first}
	n := len(body)
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(append(b, byte(n)), body...)
}

func first(t wire.Type) byte {
	switch t {
	case wire.TypePubrel, wire.TypeSubscribe, wire.TypeUnsubscribe:
		return byte(t)<<4 | 2
	}
	return byte(t) << 4
}

// publish returns a QoS 1 PUBLISH whose body has size bytes.
func publish(id uint16, size int) []byte {
	body := make([]byte, max(size, 6))
	copy(body, "\x00\x01t")
	binary.BigEndian.PutUint16(body[3:], id)
	return frame(0x32, body...)
}

func ack(t wire.Type, id uint16) []byte { return frame(first(t), byte(id>>8), byte(id)) }

func connack(v wire.Version) []byte {
	if v == wire.V5 {
		return frame(0x20, 0, 0, 0)
	}
	return frame(0x20, 0, 0)
}

// subscribe returns a SUBSCRIBE or UNSUBSCRIBE with n filters.
func subscribe(v wire.Version, t wire.Type, id uint16, n int) []byte {
	body := []byte{byte(id >> 8), byte(id)}
	if v == wire.V5 {
		body = append(body, 0)
	}
	for range n {
		body = append(body, 0, 1, 'f')
		if t == wire.TypeSubscribe {
			body = append(body, 1)
		}
	}
	return frame(first(t), body...)
}

// suback returns a SUBACK or UNSUBACK with n codes.
func suback(v wire.Version, t wire.Type, id uint16, n int) []byte {
	body := []byte{byte(id >> 8), byte(id)}
	if v == wire.V5 {
		body = append(body, 0)
	}
	return frame(first(t), append(body, make([]byte, n)...)...)
}

var (
	pingreq    = frame(0xC0)
	pingresp   = frame(0xD0)
	disconnect = frame(0xE0)
	connect    = frame(0x10, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 1, 'c')
)

// cut splits b at random places.
func cut(r *rand.Rand, b []byte, most int) (pieces [][]byte) {
	for len(b) > 0 {
		n := min(len(b), 1+r.IntN(most))
		pieces = append(pieces, b[:n])
		b = b[n:]
	}
	return pieces
}
