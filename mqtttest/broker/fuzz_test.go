package broker

import (
	"bytes"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"
)

// FuzzHostileBytes: whatever a client sends, the broker goes on.
func FuzzHostileBytes(f *testing.F) {
	for _, test := range corpus() {
		f.Add(test.version, true, Packet{First: test.first, Body: test.body}.Encode())
	}
	f.Add(byte(4), false, []byte{0x10, 12, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 30, 0, 0})
	b, err := Listen(MaxPacket(1 << 16))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(b.Close)
	f.Fuzz(func(_ *testing.T, version byte, connected bool, data []byte) {
		client, server := net.Pipe()
		c := newConn(b.core, &b.script, &listener{scheme: "mqtt"}, server)
		done := make(chan struct{})
		go func() { c.serve(); close(done) }()
		drained := make(chan struct{})
		go func() { drain(client); close(drained) }()
		if connected {
			version = 4 + version%2
			body := append(text("MQTT"), version, 2, 0, 0)
			if version == 5 {
				body = append(body, 0)
			}
			_, _ = client.Write(Packet{First: 0x10, Body: append(body, text(fmt.Sprint("c", version))...)}.Encode())
		}
		_ = client.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = client.Write(data)
		_ = client.Close()
		<-done
		<-drained
		b.core.locked(b.core.forget) // retained messages of one run are none of the next
	})
}

func drain(c net.Conn) {
	b := make([]byte, 4096)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// FuzzReader: a stream is cut into the same packets however it arrives, and its
// memory grows with what arrives.
func FuzzReader(f *testing.F) {
	var all []byte
	for _, test := range corpus() {
		p := Packet{First: test.first, Body: test.body}.Encode()
		f.Add(p, byte(1))
		all = append(all, p...)
	}
	f.Add(all, byte(7))
	f.Add(Packet{First: 0x30, Body: make([]byte, 5000)}.Encode(), byte(200))
	f.Add([]byte("\x30\x80\x00\xC0\x00"), byte(1))
	f.Fuzz(func(t *testing.T, data []byte, size byte) {
		const limit = 4096
		whole := frames{r: &pieces{data, len(data)}, max: limit}
		cut := frames{r: &pieces{data, max(1, int(size))}, max: limit}
		used := 0
		for {
			p, err := whole.next()
			q, other := cut.next()
			if (err == nil) != (other == nil) || (err != nil && err.Error() != other.Error()) {
				t.Fatalf("whole: %v; in pieces of %d: %v", err, size, other)
			}
			if err != nil {
				break
			}
			if p.First != q.First || !bytes.Equal(p.Body, q.Body) {
				t.Fatalf("whole: %v; in pieces of %d: %v", p, size, q)
			}
			encoded := p.Encode()
			if !bytes.HasPrefix(data[used:], encoded) {
				t.Fatalf("%v is not what stands at byte %d of %x", p, used, data)
			}
			used += len(encoded)
			if p.First>>4 == 0 || len(p.Body) > limit {
				t.Fatalf("packet %v", p)
			}
		}
		if bound := max(readBuffer, 4*len(data)); cap(whole.buf) > bound || cap(cut.buf) > bound {
			t.Fatalf("buffers of %d and %d bytes for %d", cap(whole.buf), cap(cut.buf), len(data))
		}
	})
}

// FuzzDecode: no body makes the codec panic, and what it takes of a PUBLISH
// arrives unchanged.
func FuzzDecode(f *testing.F) {
	for _, test := range corpus() {
		f.Add(test.version, test.first, test.body)
	}
	f.Add(byte(5), byte(0x10), slices.Concat(text("MQTT"), []byte{5, 0xC6, 0, 30, 5, 17, 0, 0, 0, 9}, text("c"),
		[]byte{5, 24, 0, 0, 0, 1}, text("will"), text("gone"), text("user"), text("password")))
	f.Add(byte(5), byte(0x32), slices.Concat(text("t"), []byte{0, 1, 15, 2, 0, 0, 0, 9, 35, 0, 1, 38}, text("k"), text("v"), []byte("payload")))
	f.Fuzz(func(t *testing.T, version, first byte, body []byte) {
		version = 4 + version%2
		p := Packet{First: first, Body: body}
		o := Observed{Packet: p, Version: version}
		_, _, _, _, _ = p.Topic(), p.ID(), p.String(), o.Message(), o.Filters()
		switch p.Type() {
		case Connect:
			_, _ = decodeConnect(body)
		case Subscribe:
			_, _ = decodeSubscribe(body, version)
		case Unsubscribe:
			_, _ = decodeUnsubscribe(body, version)
		case Disconnect:
			_, _ = decodeDisconnect(body, version)
		case Puback, Pubrec, Pubrel, Pubcomp:
			_, _ = decodeAck(p, version)
		case Publish:
			passOn(t, p, version)
		}
	})
}

// passOn checks a PUBLISH against what a subscriber of the same version gets.
func passOn(t *testing.T, p Packet, version byte) {
	m, err := decodePublish(p, version)
	if err != nil || len(m.topic) == 0 {
		return
	}
	kept := m.message(string(m.topic), "c")
	d := &delivery{msg: kept, qos: m.qos, id: m.id, retain: m.retain}
	sent := packetOf(appendPublish(nil, version, kept, d, m.dup))
	again, err := decodePublish(sent, version)
	if err != nil {
		t.Fatalf("%v is sent as %v: %v", p, sent, err)
	}
	if sent.First != p.First || again.id != m.id || !bytes.Equal(again.topic, m.topic) || !bytes.Equal(again.payload, m.payload) {
		t.Fatalf("%v is sent as %v", p, sent)
	}
	if version == 5 && !bytes.Equal(passed(m.props), passed(again.props)) {
		t.Fatalf("properties % x are sent as % x", m.props, again.props)
	}
}

// passed returns those properties that a broker may not change.
func passed(section []byte) (all []byte) {
	c := cursor{b: section}
	c.properties(publishProperties, func(p property) {
		if p.id != propTopicAlias && p.id != propMessageExpiry {
			all = slices.Concat(all, p.raw)
		}
	})
	return all
}
