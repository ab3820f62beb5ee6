package broker_test

import "github.com/kratos-mqtt/kratos-mqtt/mqtttest"

// packet is one entry of the corpus: a packet after a CONNECT of a version.
type hostile struct {
	name    string
	version byte
	bytes   []byte
	bad     bool // must end the connection
}

func connectOf(version, flags byte, rest ...[]byte) []byte {
	head := append(mqtttest.StringField("MQTT"), version, flags, 0, 30)
	return mqtttest.PacketOf(0x10, append([][]byte{head}, rest...)...)
}

func hello(version byte) []byte {
	if version == 5 {
		return connectOf(5, 2, []byte{0}, mqtttest.StringField("c"))
	}
	return connectOf(4, 2, mqtttest.StringField("c"))
}

func hostilePackets() []hostile {
	id := []byte{0, 1}
	none := []byte{0}
	return []hostile{
		{"3.1.1 subscribe", 4, mqtttest.PacketOf(0x82, id, mqtttest.StringField("a"), []byte{1}), false},
		{"3.1.1 subscribe twice", 4, mqtttest.PacketOf(0x82, id, mqtttest.StringField("a"), []byte{1}, mqtttest.StringField("b"), []byte{2}), false},
		{"3.1.1 unsubscribe", 4, mqtttest.PacketOf(0xA2, id, mqtttest.StringField("a")), false},
		{"3.1.1 publish", 4, mqtttest.PacketOf(0x32, mqtttest.StringField("a"), id, []byte("payload")), false},
		{"3.1.1 publish without payload", 4, mqtttest.PacketOf(0x30, mqtttest.StringField("a")), false},
		{"3.1.1 ping", 4, mqtttest.PacketOf(0xC0), false},
		{"5 subscribe", 5, mqtttest.PacketOf(0x82, id, none, mqtttest.StringField("a"), []byte{1}), false},
		{"5 subscribe with identifier", 5, mqtttest.PacketOf(0x82, id, []byte{2, 0x0B, 1}, mqtttest.StringField("a"), []byte{1}), false},
		{"5 unsubscribe", 5, mqtttest.PacketOf(0xA2, id, none, mqtttest.StringField("a")), false},
		{"5 publish", 5, mqtttest.PacketOf(0x32, mqtttest.StringField("a"), id, none, []byte("payload")), false},
		{"5 publish with properties", 5, mqtttest.PacketOf(0x32, mqtttest.StringField("a"), id, []byte{21}, []byte{0x01, 1}, []byte{0x02, 0, 0, 0, 9}, []byte{0x03, 0, 1, 'j'}, []byte{0x26, 0, 2, 'k', 'k', 0, 3, 'v', 'v', 'v'}), false},
		{"5 puback with reason", 5, mqtttest.PacketOf(0x40, id, []byte{0x10}), false},
		{"5 puback with reason and properties", 5, mqtttest.PacketOf(0x40, id, []byte{0, 0}), false},

		{"empty subscribe", 4, mqtttest.PacketOf(0x82), true},
		{"subscribe without filter", 4, mqtttest.PacketOf(0x82, id), true},
		{"subscribe without options", 4, mqtttest.PacketOf(0x82, id, mqtttest.StringField("a")), true},
		{"subscribe cut in the second filter", 4, mqtttest.PacketOf(0x82, id, mqtttest.StringField("a"), []byte{1}, []byte{0, 5, 'x'}), true},
		{"5 subscribe without options", 5, mqtttest.PacketOf(0x82, id, none, mqtttest.StringField("a")), true},
		{"5 subscribe without properties", 5, mqtttest.PacketOf(0x82, id), true},
		{"5 subscribe cut in properties", 5, mqtttest.PacketOf(0x82, id, []byte{9, 0x0B}), true},
		{"5 subscribe with a long property length", 5, mqtttest.PacketOf(0x82, id, []byte{0xff, 0xff, 0xff, 0x7f}, mqtttest.StringField("a"), []byte{1}), true},
		{"5 subscribe with an endless property length", 5, mqtttest.PacketOf(0x82, id, []byte{0xff, 0xff, 0xff, 0xff, 1}, mqtttest.StringField("a"), []byte{1}), true},
		{"unsubscribe without filter", 4, mqtttest.PacketOf(0xA2, id), true},
		{"unsubscribe cut in the filter", 4, mqtttest.PacketOf(0xA2, id, []byte{0, 9, 'a'}), true},
		{"5 unsubscribe without filter", 5, mqtttest.PacketOf(0xA2, id, none), true},
		{"empty publish", 4, mqtttest.PacketOf(0x30), true},
		{"publish with a long topic", 4, mqtttest.PacketOf(0x30, []byte{0xff, 0xff, 'a'}), true},
		{"publish without identifier", 4, mqtttest.PacketOf(0x32, mqtttest.StringField("a")), true},
		{"publish with half an identifier", 4, mqtttest.PacketOf(0x34, mqtttest.StringField("a"), []byte{1}), true},
		{"publish at QoS 3", 4, mqtttest.PacketOf(0x36, mqtttest.StringField("a"), id), true},
		{"5 publish without properties", 5, mqtttest.PacketOf(0x32, mqtttest.StringField("a"), id), true},
		{"5 publish with an unknown property", 5, mqtttest.PacketOf(0x30, mqtttest.StringField("a"), []byte{2, 0x7f, 0}), true},
		{"5 publish with half a user property", 5, mqtttest.PacketOf(0x30, mqtttest.StringField("a"), []byte{5, 0x26, 0, 1, 'k', 0}), true},
		{"5 publish with properties past the end", 5, mqtttest.PacketOf(0x30, mqtttest.StringField("a"), []byte{7, 0x02, 0, 0}), true},
		{"puback without identifier", 4, mqtttest.PacketOf(0x40), true},
		{"puback with half an identifier", 4, mqtttest.PacketOf(0x40, []byte{1}), true},
		{"3.1.1 puback with a reason", 4, mqtttest.PacketOf(0x40, id, []byte{0x80}), true},
		{"5 pubrel cut in properties", 5, mqtttest.PacketOf(0x62, id, []byte{0, 4, 0x1f}), true},
		{"ping with a body", 4, mqtttest.PacketOf(0xC0, []byte{1}), true},
		{"5 disconnect cut in properties", 5, mqtttest.PacketOf(0xE0, []byte{0, 5, 0x11}), true},
		{"5 auth cut in properties", 5, mqtttest.PacketOf(0xF0, []byte{0x18, 5, 0x15}), true},
		{"3.1.1 auth", 4, mqtttest.PacketOf(0xF0), true},
		{"second connect", 4, hello(4), true},
		{"connack from a client", 4, mqtttest.PacketOf(0x20, []byte{0, 0}), true},
		{"reserved type", 4, mqtttest.PacketOf(0x00), true},
		{"endless remaining length", 4, []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x01}, true},
		{"256 MiB", 4, []byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a'}, true},
	}
}

// connects are packets that a connection may not begin with.
func badConnects() map[string][]byte {
	return map[string][]byte{
		"nothing in it":        mqtttest.PacketOf(0x10),
		"protocol name only":   mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT")),
		"no client id":         connectOf(4, 2),
		"client id cut":        connectOf(4, 2, []byte{0, 9, 'c'}),
		"will missing":         connectOf(4, 6, mqtttest.StringField("c")),
		"will message cut":     connectOf(4, 6, mqtttest.StringField("c"), mqtttest.StringField("topic"), []byte{0, 9}),
		"user missing":         connectOf(4, 0x82, mqtttest.StringField("c")),
		"password missing":     connectOf(4, 0xC2, mqtttest.StringField("c"), mqtttest.StringField("user")),
		"too long":             connectOf(4, 2, mqtttest.StringField("c"), []byte{1}),
		"5 without properties": connectOf(5, 2),
		"5 properties cut":     connectOf(5, 2, []byte{5, 0x11, 0}),
		"5 will properties":    connectOf(5, 6, []byte{0}, mqtttest.StringField("c"), []byte{3, 0x18}),
		"publish first":        mqtttest.PacketOf(0x30, mqtttest.StringField("a")),
		"ping first":           mqtttest.PacketOf(0xC0),
		"not MQTT":             []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	}
}
