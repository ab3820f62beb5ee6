package mqtttest

import "encoding/binary"

// PacketOf makes the bytes of a packet from its first byte and its body, in
// pieces. Nothing is checked: the packet may be as wrong as a test needs it.
func PacketOf(first byte, body ...[]byte) []byte {
	p := Packet{First: first}
	for _, b := range body {
		p.Body = append(p.Body, b...)
	}
	return p.Encode()
}

// Uint16Field is a two-byte integer as packets have it.
func Uint16Field(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// StringField is a string as packets have it: its length in two bytes, then it.
func StringField(s string) []byte { return append(Uint16Field(uint16(len(s))), s...) }

// ConnectPacket makes a CONNECT with a keep-alive of 30 seconds. Version is 4
// for MQTT 3.1.1, 5 for MQTT 5, where a session that is not clean lasts an hour.
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

// SubscribePacket makes a SUBSCRIBE to one filter.
func SubscribePacket(version byte, id uint16, filter string, qos byte) []byte {
	return PacketOf(0x82, Uint16Field(id), noProperties(version), StringField(filter), []byte{qos})
}

// PublishPacket makes a PUBLISH; the identifier is left out at QoS 0.
func PublishPacket(version byte, id uint16, topic string, qos byte, payload string) []byte {
	var identifier []byte
	if qos > 0 {
		identifier = Uint16Field(id)
	}
	return PacketOf(0x30|qos<<1, StringField(topic), identifier, noProperties(version), []byte(payload))
}

// AckPacket makes a PUBACK, PUBREC, PUBREL or PUBCOMP without a reason, or an
// UNSUBACK of MQTT 3.1.1.
func AckPacket(t PacketType, id uint16) []byte {
	first := byte(t) << 4
	if t == TypePubrel {
		first |= 2
	}
	return PacketOf(first, Uint16Field(id))
}

// ConnackPacket makes a CONNACK. Code 0 accepts.
func ConnackPacket(version byte, sessionPresent bool, code byte) []byte {
	var flags byte
	if sessionPresent {
		flags = 1
	}
	return PacketOf(0x20, []byte{flags, code}, noProperties(version))
}

// SubackPacket makes a SUBACK with one code for each filter.
func SubackPacket(version byte, id uint16, codes ...byte) []byte {
	return PacketOf(0x90, Uint16Field(id), noProperties(version), codes)
}

// noProperties is the empty property list that MQTT 5 asks for.
func noProperties(version byte) []byte {
	if version == 5 {
		return []byte{0}
	}
	return nil
}
