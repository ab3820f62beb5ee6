package mqtttest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// PacketType is the type of an MQTT control packet [MQTT-2.1.2].
type PacketType = broker.PacketType

// The control packet types.
const (
	TypeConnect     = broker.Connect
	TypeConnack     = broker.Connack
	TypePublish     = broker.Publish
	TypePuback      = broker.Puback
	TypePubrec      = broker.Pubrec
	TypePubrel      = broker.Pubrel
	TypePubcomp     = broker.Pubcomp
	TypeSubscribe   = broker.Subscribe
	TypeSuback      = broker.Suback
	TypeUnsubscribe = broker.Unsubscribe
	TypeUnsuback    = broker.Unsuback
	TypePingreq     = broker.Pingreq
	TypePingresp    = broker.Pingresp
	TypeDisconnect  = broker.Disconnect
	TypeAuth        = broker.Auth
)

// maxPacket is the size in bytes of the largest packet that [ReadPacket] and [Proxy] hold in
// memory.
const maxPacket = 16 << 20

var errBigPacket = fmt.Errorf("packet of more than %d bytes", maxPacket)

// Packet is an MQTT control packet of any version. Its methods interpret only what they
// return.
type Packet = broker.Packet

// ReadPacket reads one packet of at most 16 MiB.
func ReadPacket(r io.Reader) (Packet, error) {
	first, size, _, err := readHeader(byteReader{r})
	if err != nil {
		return Packet{}, err
	}
	if size > maxPacket {
		return Packet{}, errBigPacket
	}
	var body bytes.Buffer // grows with the received bytes, not with the claimed length
	if _, err := io.CopyN(&body, r, int64(size)); err != nil {
		return Packet{}, noEOF(err)
	}
	return Packet{First: first, Body: body.Bytes()}, nil
}

var errHeader = errors.New("remaining length of more than four bytes")

// readHeader reads a fixed header and also returns its bytes. io.EOF means that the stream
// ended between packets.
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
