package broker

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
)

func text(s string) []byte { return appendText(nil, s) }

// corpus is packets of a client after its CONNECT, with the code that the
// broker finds, 0 for none.
func corpus() []struct {
	name    string
	version byte
	first   byte
	body    []byte
	code    byte
} {
	cat := slices.Concat[[]byte]
	return []struct {
		name    string
		version byte
		first   byte
		body    []byte
		code    byte
	}{
		{"PUBLISH QoS 0", 4, 0x30, cat(text("t"), []byte("x")), 0},
		{"PUBLISH empty", 4, 0x30, text("t"), 0},
		{"PUBLISH QoS 1", 4, 0x32, cat(text("t"), []byte{0, 1}), 0},
		{"PUBLISH QoS 3", 4, 0x36, cat(text("t"), []byte{0, 1}), 0x81},
		{"PUBLISH QoS 0 with DUP", 4, 0x38, text("t"), 0x81},
		{"PUBLISH id 0", 4, 0x32, cat(text("t"), []byte{0, 0}), 0x82},
		{"PUBLISH without id", 4, 0x32, text("t"), 0x81},
		{"PUBLISH topic cut short", 4, 0x30, []byte{0, 9, 't'}, 0x81},
		{"PUBLISH nothing", 4, 0x30, nil, 0x81},
		{"PUBLISH empty topic", 4, 0x30, text(""), 0x90},
		{"PUBLISH surrogate", 4, 0x30, text("\xed\xa0\x80"), 0x81},
		{"PUBLISH no properties", 5, 0x30, text("t"), 0x81},
		{"PUBLISH properties too long", 5, 0x30, cat(text("t"), []byte{9, 1, 0}), 0x81},
		{"PUBLISH overlong property length", 5, 0x30, cat(text("t"), []byte{0x80, 0}), 0x81},
		{"PUBLISH endless property length", 5, 0x30, cat(text("t"), []byte{0xFF, 0xFF, 0xFF, 0xFF, 1}), 0x81},
		{"PUBLISH unknown property", 5, 0x30, cat(text("t"), []byte{2, 99, 0}), 0x81},
		{"PUBLISH property twice", 5, 0x30, cat(text("t"), []byte{4, 1, 0, 1, 0}), 0x82},
		{"PUBLISH property of CONNECT", 5, 0x30, cat(text("t"), []byte{3, 33, 0, 1}), 0x82},
		{"PUBLISH subscription id", 5, 0x30, cat(text("t"), []byte{2, 11, 1}), 0x82},
		{"PUBLISH payload format 2", 5, 0x30, cat(text("t"), []byte{2, 1, 2}), 0x82},
		{"PUBLISH response topic with wildcard", 5, 0x30, cat(text("t"), []byte{4, 8}, text("#")), 0x82},
		{"PUBLISH user property cut short", 5, 0x30, cat(text("t"), []byte{4, 38}, text("k")), 0x81},
		{"PUBACK", 4, 0x40, []byte{0, 1}, 0},
		{"PUBACK id 0", 4, 0x40, []byte{0, 0}, 0x82},
		{"PUBACK too long", 4, 0x40, []byte{0, 1, 0}, 0x81},
		{"PUBACK short", 4, 0x40, []byte{0}, 0x81},
		{"PUBACK flags", 4, 0x41, []byte{0, 1}, 0x81},
		{"PUBACK with reason", 5, 0x40, []byte{0, 1, 0x80, 4, 31, 0, 1, 'x'}, 0},
		{"PUBACK with code alone", 5, 0x40, []byte{0, 1, 0x80}, 0},
		{"PUBACK with a code of PUBREL", 5, 0x40, []byte{0, 1, 0x92}, 0x82},
		{"PUBREC with a code that is none", 5, 0x50, []byte{0, 1, 0xE0}, 0x82},
		{"PUBREL with a code of PUBREC", 5, 0x62, []byte{0, 1, 0x10}, 0x82},
		{"PUBCOMP with a code", 5, 0x70, []byte{0, 1, 0x92}, 0},
		{"PUBREL", 4, 0x62, []byte{0, 1}, 0},
		{"PUBREL flags", 4, 0x60, []byte{0, 1}, 0x81},
		{"SUBSCRIBE", 4, 0x82, cat([]byte{0, 1}, text("t"), []byte{1}), 0},
		{"SUBSCRIBE flags", 4, 0x80, cat([]byte{0, 1}, text("t"), []byte{1}), 0x81},
		{"SUBSCRIBE nothing", 4, 0x82, []byte{0, 1}, 0x82},
		{"SUBSCRIBE id 0", 4, 0x82, cat([]byte{0, 0}, text("t"), []byte{1}), 0x82},
		{"SUBSCRIBE QoS 3", 4, 0x82, cat([]byte{0, 1}, text("t"), []byte{3}), 0x81},
		{"SUBSCRIBE options of 5", 4, 0x82, cat([]byte{0, 1}, text("t"), []byte{4}), 0x81},
		{"SUBSCRIBE without options", 4, 0x82, cat([]byte{0, 1}, text("t")), 0x81},
		{"SUBSCRIBE retain handling 3", 5, 0x82, cat([]byte{0, 1, 0}, text("t"), []byte{0x31}), 0x81},
		{"SUBSCRIBE reserved bits", 5, 0x82, cat([]byte{0, 1, 0}, text("t"), []byte{0x41}), 0x81},
		{"SUBSCRIBE id property 0", 5, 0x82, cat([]byte{0, 1, 2, 11, 0}, text("t"), []byte{1}), 0x82},
		{"SUBSCRIBE shared and no local", 5, 0x82, cat([]byte{0, 1, 0}, text("$share/g/t"), []byte{5}), 0x82},
		{"UNSUBSCRIBE", 4, 0xA2, cat([]byte{0, 1}, text("t")), 0},
		{"UNSUBSCRIBE nothing", 4, 0xA2, []byte{0, 1}, 0x82},
		{"UNSUBSCRIBE wrong filter", 4, 0xA2, cat([]byte{0, 1}, text("t#")), 0x8F},
		{"PINGREQ", 4, 0xC0, nil, 0},
		{"PINGREQ with a body", 4, 0xC0, []byte{0}, 0x81},
		{"CONNACK", 4, 0x20, []byte{0, 0}, 0x82},
		{"SUBACK", 4, 0x90, []byte{0, 1, 0}, 0x82},
		{"AUTH", 5, 0xF0, nil, 0x82},
		{"DISCONNECT too long", 4, 0xE0, []byte{0}, 0x81},
		{"DISCONNECT with a code of the server", 5, 0xE0, []byte{0x8E}, 0x82},
		{"DISCONNECT wrong property", 5, 0xE0, []byte{0, 2, 1, 0}, 0x82},
	}
}

func TestWhatTheBrokerFindsInPackets(t *testing.T) {
	t.Parallel()
	b, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, test := range corpus() {
		_, server := net.Pipe()
		c := newConn(b.core, &b.script, &listener{scheme: "mqtt"}, server)
		c.version, c.connect, c.quota = test.version, &connect{version: test.version}, 10
		b.core.locked(func() {
			s := b.core.newSession("c", test.version)
			s.conn, c.session = c, s
			err = c.handle(Packet{First: test.first, Body: test.body}, nil)
		})
		var v *violation
		if errors.As(err, &v); (test.code == 0) != (err == nil) || (test.code != 0 && (v == nil || v.code != test.code)) {
			t.Errorf("%s: %v, want %#x", test.name, err, test.code)
		}
	}
}

func TestFramesInPieces(t *testing.T) {
	t.Parallel()
	large := Packet{First: 0x30, Body: bytes.Repeat([]byte("x"), 300_000)}
	var stream []byte
	var want []Packet
	for range 3 {
		for _, p := range []Packet{{First: 0xC0, Body: []byte{}}, {First: 0x40, Body: []byte{0, 1}}, large} {
			stream, want = append(stream, p.Encode()...), append(want, p)
		}
	}
	for _, size := range []int{1, 7, 1000, len(stream)} {
		f := frames{r: &pieces{stream, size}, max: 300_000}
		for i, w := range want {
			p, err := f.next()
			if err != nil || p.First != w.First || !bytes.Equal(p.Body, w.Body) {
				t.Fatalf("pieces of %d, packet %d: %v, %v", size, i, p, err)
			}
		}
	}
	for name, test := range map[string]struct {
		bytes string
		want  error
	}{
		"too large":    {"\x30\xff\xff\xff\x7f", errLarge},
		"five bytes":   {"\x30\xff\xff\xff\xff\x01", errHeader},
		"not minimal":  {"\x30\x80\x00", errHeader},
		"end of input": {"\x30\x05abc", errDead},
	} {
		f := frames{r: &pieces{[]byte(test.bytes), 1}, max: 1000}
		if _, err := f.next(); !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pieces is a reader that returns a few bytes at a time.
type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	n := copy(b, p.rest[:min(p.size, len(p.rest))])
	p.rest = p.rest[n:]
	if n == 0 {
		return 0, errDead
	}
	return n, nil
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/#", "a", true},
		{"a/+/#", "a", false},
		{"a/+/#", "a/b", true},
		{"+/+", "/", true},
		{"+", "a/b", false},
		{"a/b", "a/b/c", false},
		{"a/b/c", "a/b", false},
		{"#", "$SYS", false},
		{"+/x", "$SYS/x", false},
		{"$SYS/#", "$SYS", true},
	} {
		if got := matches(strings.Split(test.filter, "/"), test.topic); got != test.want {
			t.Errorf("%s matches %s: %t", test.filter, test.topic, got)
		}
	}
}
