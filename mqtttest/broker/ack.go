package broker

import "encoding/binary"

// ack is a decoded PUBACK, PUBREC, PUBREL or PUBCOMP.
type ack struct {
	id   uint16
	code byte
}

func decodeAck(p Packet, version byte) (a ack, err error) {
	c := cursor{b: p.Body}
	a.id = c.uint16()
	if version == 5 && len(c.b) > 0 {
		a.code = c.byte()
		if len(c.b) > 0 {
			c.properties(setOf(propReasonString, propUserProperty), nil)
		}
	}
	if err := c.end(); err != nil {
		return a, err
	}
	if a.id == 0 {
		return a, breach("packet identifier 0")
	}
	return a, nil
}

// appendAck encodes a PUBACK, PUBREC, PUBREL or PUBCOMP; the code has a place
// on MQTT 5 only.
func appendAck(b []byte, version byte, t PacketType, id uint16, code byte) []byte {
	first := byte(t) << 4
	if t == Pubrel {
		first |= 2
	}
	if version == 5 && code != 0 {
		return append(binary.BigEndian.AppendUint16(append(b, first, 3), id), code)
	}
	return binary.BigEndian.AppendUint16(append(b, first, 2), id)
}

// appendAnswer encodes a SUBACK or UNSUBACK. An UNSUBACK of MQTT 3.1.1 has no
// codes.
func appendAnswer(b []byte, version byte, t PacketType, id uint16, codes []byte) []byte {
	size := 2
	if version == 5 {
		size++
	}
	if version == 5 || t == Suback {
		size += len(codes)
	}
	b = binary.AppendUvarint(append(b, byte(t)<<4), uint64(size))
	b = binary.BigEndian.AppendUint16(b, id)
	if version == 5 {
		b = append(b, 0)
	}
	if version == 5 || t == Suback {
		b = append(b, codes...)
	}
	return b
}

// disconnect is a decoded DISCONNECT.
type disconnect struct {
	code      byte
	expiry    uint32
	hasExpiry bool
}

func decodeDisconnect(body []byte, version byte) (d disconnect, err error) {
	c := cursor{b: body}
	if version == 5 && len(c.b) > 0 {
		d.code = c.byte()
		if len(c.b) > 0 {
			c.properties(setOf(propSessionExpiry, propReasonString, propUserProperty), func(p property) {
				if p.id == propSessionExpiry {
					d.expiry, d.hasExpiry = p.num, true
				}
			})
		}
	}
	return d, c.end()
}

// connackCode is the code of MQTT 3.1.1 nearest to one of MQTT 5.
func connackCode(version, code byte) byte {
	if version == 5 || code < 0x80 {
		return code
	}
	switch code {
	case reasonVersion:
		return 1
	case reasonClientID:
		return 2
	case reasonCredentials:
		return 4
	case reasonNotAuthorized:
		return 5
	}
	return 3
}
