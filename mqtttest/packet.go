package mqtttest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// PacketType is the type of an MQTT control packet [MQTT-2.1.2].
type PacketType byte

// The control packet types.
const (
	TypeConnect     PacketType = 1
	TypeConnack     PacketType = 2
	TypePublish     PacketType = 3
	TypePuback      PacketType = 4
	TypePubrec      PacketType = 5
	TypePubrel      PacketType = 6
	TypePubcomp     PacketType = 7
	TypeSubscribe   PacketType = 8
	TypeSuback      PacketType = 9
	TypeUnsubscribe PacketType = 10
	TypeUnsuback    PacketType = 11
	TypePingreq     PacketType = 12
	TypePingresp    PacketType = 13
	TypeDisconnect  PacketType = 14
	TypeAuth        PacketType = 15
)

// String is the name as the standard writes it.
func (t PacketType) String() string {
	names := [...]string{
		"reserved", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
		"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
	}
	if int(t) < len(names) {
		return names[t]
	}
	return fmt.Sprintf("PacketType(%d)", byte(t))
}

// maxPacket is the largest packet that [ReadPacket] and [Proxy] hold in memory.
const maxPacket = 16 << 20

var errBigPacket = fmt.Errorf("packet of more than %d bytes", maxPacket)

// Packet is one MQTT control packet of any version, not interpreted further
// than the methods below do. They never panic on a body that is not well
// formed; they return zero values.
type Packet struct {
	// First is the first byte: type and flags.
	First byte
	// Body is everything after the remaining length.
	Body []byte
}

// Type is the packet's type.
func (p Packet) Type() PacketType { return PacketType(p.First >> 4) }

// QoS of a PUBLISH.
func (p Packet) QoS() byte { return p.First >> 1 & 3 }

// Dup tells whether a PUBLISH carries the DUP flag.
func (p Packet) Dup() bool { return p.First&8 != 0 }

// Retain tells whether a PUBLISH carries the RETAIN flag.
func (p Packet) Retain() bool { return p.First&1 != 0 }

// Topic of a PUBLISH.
func (p Packet) Topic() string {
	topic, _ := p.splitPublish()
	return string(topic)
}

// ID is the packet identifier, 0 for a packet that has none.
func (p Packet) ID() uint16 {
	b := p.Body
	switch p.Type() {
	case TypePublish:
		if p.QoS() == 0 {
			return 0
		}
		_, b = p.splitPublish()
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp, TypeSubscribe, TypeSuback, TypeUnsubscribe, TypeUnsuback:
	default:
		return 0
	}
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// Payload is what follows the topic and the identifier of an MQTT 3.1.1
// PUBLISH. On MQTT 5 the properties come first in it.
func (p Packet) Payload() []byte {
	_, rest := p.splitPublish()
	if p.QoS() == 0 {
		return rest
	}
	return rest[min(2, len(rest)):]
}

func (p Packet) splitPublish() (topic, rest []byte) {
	if p.Type() != TypePublish || len(p.Body) < 2 {
		return nil, nil
	}
	n := 2 + int(binary.BigEndian.Uint16(p.Body))
	if n > len(p.Body) {
		return nil, nil
	}
	return p.Body[2:n], p.Body[n:]
}

// String describes the packet for a test's log.
func (p Packet) String() string {
	if p.Type() == TypePublish {
		return fmt.Sprintf("PUBLISH id %d qos %d dup %t topic %q, %d bytes", p.ID(), p.QoS(), p.Dup(), p.Topic(), len(p.Body))
	}
	return fmt.Sprintf("%v id %d, %d bytes", p.Type(), p.ID(), len(p.Body))
}

// Encode returns the bytes on the wire.
func (p Packet) Encode() []byte {
	b := binary.AppendUvarint([]byte{p.First}, uint64(len(p.Body)))
	return append(b, p.Body...)
}

// ReadPacket reads one packet of at most 16 MiB.
func ReadPacket(r io.Reader) (Packet, error) {
	first, size, _, err := readHeader(byteReader{r})
	if err != nil {
		return Packet{}, err
	}
	if size > maxPacket {
		return Packet{}, errBigPacket
	}
	var body bytes.Buffer // grows with what arrives, not with what is claimed
	if _, err := io.CopyN(&body, r, int64(size)); err != nil {
		return Packet{}, noEOF(err)
	}
	return Packet{First: first, Body: body.Bytes()}, nil
}

var errHeader = errors.New("remaining length of more than four bytes")

// readHeader reads a fixed header and returns its bytes too. io.EOF means that
// the stream ended between packets.
func readHeader(r io.ByteReader) (first byte, size int, raw []byte, err error) {
	if first, err = r.ReadByte(); err != nil {
		return 0, 0, nil, err
	}
	raw = append(make([]byte, 0, 5), first)
	for shift := 0; shift < 28; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return first, 0, raw, noEOF(err)
		}
		raw = append(raw, b)
		size |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return first, size, raw, nil
		}
	}
	return first, 0, raw, errHeader
}

// byteReader reads single bytes without reading ahead.
type byteReader struct{ io.Reader }

func (r byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
