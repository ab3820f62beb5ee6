package embedded

import (
	"encoding/binary"
)

// packet is one entry of the corpus: a packet after a CONNECT of a version.
type packet struct {
	name    string
	version byte
	bytes   []byte
	bad     bool // must end the connection
}

func frame(first byte, body ...[]byte) []byte {
	var all []byte
	for _, b := range body {
		all = append(all, b...)
	}
	return append(binary.AppendUvarint([]byte{first}, uint64(len(all))), all...)
}

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func connect(version, flags byte, rest ...[]byte) []byte {
	head := append(text("MQTT"), version, flags, 0, 30)
	return frame(0x10, append([][]byte{head}, rest...)...)
}

func hello(version byte) []byte {
	if version == 5 {
		return connect(5, 2, []byte{0}, text("c"))
	}
	return connect(4, 2, text("c"))
}

func corpus() []packet {
	id := []byte{0, 1}
	none := []byte{0}
	return []packet{
		{"3.1.1 subscribe", 4, frame(0x82, id, text("a"), []byte{1}), false},
		{"3.1.1 subscribe twice", 4, frame(0x82, id, text("a"), []byte{1}, text("b"), []byte{2}), false},
		{"3.1.1 unsubscribe", 4, frame(0xA2, id, text("a")), false},
		{"3.1.1 publish", 4, frame(0x32, text("a"), id, []byte("payload")), false},
		{"3.1.1 publish without payload", 4, frame(0x30, text("a")), false},
		{"3.1.1 ping", 4, frame(0xC0), false},
		{"5 subscribe", 5, frame(0x82, id, none, text("a"), []byte{1}), false},
		{"5 subscribe with identifier", 5, frame(0x82, id, []byte{2, 0x0B, 1}, text("a"), []byte{1}), false},
		{"5 unsubscribe", 5, frame(0xA2, id, none, text("a")), false},
		{"5 publish", 5, frame(0x32, text("a"), id, none, []byte("payload")), false},
		{"5 publish with properties", 5, frame(0x32, text("a"), id, []byte{21}, []byte{0x01, 1}, []byte{0x02, 0, 0, 0, 9}, []byte{0x03, 0, 1, 'j'}, []byte{0x26, 0, 2, 'k', 'k', 0, 3, 'v', 'v', 'v'}), false},
		{"5 puback with reason", 5, frame(0x40, id, []byte{0x10}), false},
		{"5 puback with reason and properties", 5, frame(0x40, id, []byte{0, 0}), false},

		{"empty subscribe", 4, frame(0x82), true},
		{"subscribe without filter", 4, frame(0x82, id), true},
		{"subscribe without options", 4, frame(0x82, id, text("a")), true},
		{"subscribe cut in the second filter", 4, frame(0x82, id, text("a"), []byte{1}, []byte{0, 5, 'x'}), true},
		{"5 subscribe without options", 5, frame(0x82, id, none, text("a")), true},
		{"5 subscribe without properties", 5, frame(0x82, id), true},
		{"5 subscribe cut in properties", 5, frame(0x82, id, []byte{9, 0x0B}), true},
		{"5 subscribe with a long property length", 5, frame(0x82, id, []byte{0xff, 0xff, 0xff, 0x7f}, text("a"), []byte{1}), true},
		{"5 subscribe with an endless property length", 5, frame(0x82, id, []byte{0xff, 0xff, 0xff, 0xff, 1}, text("a"), []byte{1}), true},
		{"unsubscribe without filter", 4, frame(0xA2, id), true},
		{"unsubscribe cut in the filter", 4, frame(0xA2, id, []byte{0, 9, 'a'}), true},
		{"5 unsubscribe without filter", 5, frame(0xA2, id, none), true},
		{"empty publish", 4, frame(0x30), true},
		{"publish with a long topic", 4, frame(0x30, []byte{0xff, 0xff, 'a'}), true},
		{"publish without identifier", 4, frame(0x32, text("a")), true},
		{"publish with half an identifier", 4, frame(0x34, text("a"), []byte{1}), true},
		{"publish at QoS 3", 4, frame(0x36, text("a"), id), true},
		{"5 publish without properties", 5, frame(0x32, text("a"), id), true},
		{"5 publish with an unknown property", 5, frame(0x30, text("a"), []byte{2, 0x7f, 0}), true},
		{"5 publish with half a user property", 5, frame(0x30, text("a"), []byte{5, 0x26, 0, 1, 'k', 0}), true},
		{"5 publish with properties past the end", 5, frame(0x30, text("a"), []byte{7, 0x02, 0, 0}), true},
		{"puback without identifier", 4, frame(0x40), true},
		{"puback with half an identifier", 4, frame(0x40, []byte{1}), true},
		{"3.1.1 puback with a reason", 4, frame(0x40, id, []byte{0x80}), true},
		{"5 pubrel cut in properties", 5, frame(0x62, id, []byte{0, 4, 0x1f}), true},
		{"ping with a body", 4, frame(0xC0, []byte{1}), true},
		{"5 disconnect cut in properties", 5, frame(0xE0, []byte{0, 5, 0x11}), true},
		{"5 auth cut in properties", 5, frame(0xF0, []byte{0x18, 5, 0x15}), true},
		{"3.1.1 auth", 4, frame(0xF0), true},
		{"second connect", 4, hello(4), true},
		{"connack from a client", 4, frame(0x20, []byte{0, 0}), true},
		{"reserved type", 4, frame(0x00), true},
		{"endless remaining length", 4, []byte{0x30, 0xff, 0xff, 0xff, 0xff, 0x01}, true},
		{"256 MiB", 4, []byte{0x30, 0xff, 0xff, 0xff, 0x7f, 0, 1, 'a'}, true},
	}
}

// connects are packets that a connection may not begin with.
func badConnects() map[string][]byte {
	return map[string][]byte{
		"nothing in it":        frame(0x10),
		"protocol name only":   frame(0x10, text("MQTT")),
		"no client id":         connect(4, 2),
		"client id cut":        connect(4, 2, []byte{0, 9, 'c'}),
		"version 0":            connect(0, 2, text("c")),
		"will missing":         connect(4, 6, text("c")),
		"will message cut":     connect(4, 6, text("c"), text("topic"), []byte{0, 9}),
		"user missing":         connect(4, 0x82, text("c")),
		"password missing":     connect(4, 0xC2, text("c"), text("user")),
		"too long":             connect(4, 2, text("c"), []byte{1}),
		"5 without properties": connect(5, 2),
		"5 properties cut":     connect(5, 2, []byte{5, 0x11, 0}),
		"5 will properties":    connect(5, 6, []byte{0}, text("c"), []byte{3, 0x18}),
		"publish first":        frame(0x30, text("a")),
		"ping first":           frame(0xC0),
		"not MQTT":             []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
	}
}
