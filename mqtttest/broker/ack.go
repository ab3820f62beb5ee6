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
		return a, breach("packet identifier 0") // [MQTT-2.2.1-3]
	}
	if !codesOf(p.Type()).has(a.code) {
		return a, breach("reason code %#x of %v", a.code, p.Type())
	}
	return a, nil
}

// codeSet holds reason codes as bits: those below 0x80 may be less than 0x20,
// the others less than 0xA0.
type codeSet uint64

func codes(list ...byte) (s codeSet) {
	for _, code := range list {
		s |= 1 << (code&0x1F | code&0x80>>2)
	}
	return s
}

func (s codeSet) has(code byte) bool { return code&0x60 == 0 && s&codes(code) != 0 }

// codesOf returns the reason codes that a packet of a client may have [MQTT-3.4.2-1],
// [MQTT-3.5.2-1], [MQTT-3.6.2-1], [MQTT-3.7.2-1], [MQTT-3.14.2-1]. MQTT 3.1.1 packets have
// none, which is decoded as 0.
func codesOf(t PacketType) codeSet {
	switch t {
	case Puback, Pubrec:
		return codes(0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
	case Pubrel, Pubcomp:
		return codes(0, 0x92)
	default: // DISCONNECT
		return codes(0, 4, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99)
	}
}

// appendAck encodes a PUBACK, PUBREC, PUBREL or PUBCOMP; the code is used on MQTT 5 only.
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
	if err := c.end(); err != nil {
		return d, err
	}
	if !codesOf(Disconnect).has(d.code) {
		return d, breach("reason code %#x of DISCONNECT", d.code)
	}
	return d, nil
}

// connackCode returns the MQTT 3.1.1 code nearest to an MQTT 5 code.
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
