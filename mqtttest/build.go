package mqtttest

import "encoding/binary"

// PacketOf returns the bytes of a packet with this first byte and the parts of its body.
// Nothing is validated, so that tests can build invalid packets.
func PacketOf(first byte, body ...[]byte) []byte {
	p := Packet{First: first}
	for _, b := range body {
		p.Body = append(p.Body, b...)
	}
	return p.Encode()
}

// Uint16Field returns the encoding of a two-byte integer.
func Uint16Field(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// StringField returns the encoding of a string: its length in two bytes, then its bytes.
func StringField(s string) []byte { return append(Uint16Field(uint16(len(s))), s...) }

// ConnectPacket returns a CONNECT with a keep-alive of 30 seconds. version is 4 for MQTT 3.1.1
// and 5 for MQTT 5. A session that is not clean lasts an hour on MQTT 5.
func ConnectPacket(version byte, clientID string, clean bool) []byte {
	var flags byte
	if clean {
		flags = 2
	}
	var properties []byte
	if version == 5 {
		properties = []byte{0}
		if !clean {
			properties = []byte{5, 0x11, 0, 0, 0x0E, 0x10}
		}
	}
	return PacketOf(0x10, StringField("MQTT"), []byte{version, flags, 0, 30}, properties, StringField(clientID))
}

// SubscribePacket returns a SUBSCRIBE for one filter.
func SubscribePacket(version byte, id uint16, filter string, qos byte) []byte {
	return PacketOf(0x82, Uint16Field(id), noProperties(version), StringField(filter), []byte{qos})
}

// PublishPacket returns a PUBLISH; the identifier is omitted at QoS 0.
func PublishPacket(version byte, id uint16, topic string, qos byte, payload string) []byte {
	var identifier []byte
	if qos > 0 {
		identifier = Uint16Field(id)
	}
	return PacketOf(0x30|qos<<1, StringField(topic), identifier, noProperties(version), []byte(payload))
}

// AckPacket returns a PUBACK, PUBREC, PUBREL or PUBCOMP without a reason code, or an UNSUBACK
// of MQTT 3.1.1.
func AckPacket(t PacketType, id uint16) []byte {
	first := byte(t) << 4
	if t == TypePubrel {
		first |= 2
	}
	return PacketOf(first, Uint16Field(id))
}

// ConnackPacket returns a CONNACK. Code 0 accepts.
func ConnackPacket(version byte, sessionPresent bool, code byte) []byte {
	var flags byte
	if sessionPresent {
		flags = 1
	}
	return PacketOf(0x20, []byte{flags, code}, noProperties(version))
}

// SubackPacket returns a SUBACK with one code for each filter.
func SubackPacket(version byte, id uint16, codes ...byte) []byte {
	return PacketOf(0x90, Uint16Field(id), noProperties(version), codes)
}

// noProperties returns the empty property section that MQTT 5 requires.
func noProperties(version byte) []byte {
	if version == 5 {
		return []byte{0}
	}
	return nil
}
