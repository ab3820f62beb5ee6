package broker_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// properties of a PUBLISH, with their length.
func properties(m mqtttest.Packet) []byte {
	rest := m.Payload()
	return rest[1 : 1+int(rest[0])]
}

func TestPropertiesPassThrough(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	sub, pub := connect(t, b, 5, "sub", true), connect(t, b, 5, "pub", true)
	old := connect(t, b, 4, "old", true)
	sub.subscribe("t", 1)
	old.subscribe("t", 1)
	props := slices.Concat([]byte{1, 1}, []byte{3}, mqtttest.StringField("text/plain"), []byte{8}, mqtttest.StringField("r"), []byte{9}, mqtttest.StringField("\x00\xff"),
		[]byte{38}, mqtttest.StringField("k"), mqtttest.StringField("v1"), []byte{38}, mqtttest.StringField("k"), mqtttest.StringField("v2"))
	pub.publish5(1, "t", "body", 0, props...)
	if got := properties(sub.expectPublish("body", 1, false)); !bytes.Equal(got, props) {
		t.Errorf("% x, want % x", got, props)
	}
	old.expectPublish("body", 1, false)
}

func TestTopicAlias(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.AliasMaximum(2))
	sub := connect(t, b, 5, "sub", true)
	sub.subscribe("#", 1)
	pub, ack := connectWith(t, b, "pub", true)
	if !bytes.Contains(ack.Body, []byte{34, 0, 2}) {
		t.Errorf("CONNACK % x", ack.Body)
	}
	pub.publish5(1, "a", "1", 0, 35, 0, 2)
	pub.publish5(2, "", "2", 0, 35, 0, 2)
	pub.publish5(3, "b", "3", 0, 35, 0, 2)
	pub.publish5(4, "", "4", 0, 35, 0, 2)
	for i, topic := range []string{"a", "a", "b", "b"} {
		if m := sub.expectPublish(fmt.Sprint(i+1), 1, false); m.Topic() != topic {
			t.Errorf("message %d on %q", i+1, m.Topic())
		}
	}
	for name, test := range map[string]struct {
		alias, code byte
	}{"above the maximum": {3, 0x94}, "zero": {0, 0x94}, "unknown": {1, 0x82}} {
		p := connect(t, b, 5, name, true)
		p.Send(mqtttest.PacketOf(0x32, []byte{0, 0, 0, 1, 3, 35, 0, test.alias}))
		p.expectDisconnect(test.code)
	}
}

func TestRetainHandling(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := connect(t, b, 5, "c", true)
	other := connect(t, b, 5, "other", true)
	other.publish5(1, "kept", "old", 1)
	subscribe := func(filter string, options, id byte) {
		t.Helper()
		p.Send(mqtttest.PacketOf(0x82, mqtttest.Uint16Field(5), []byte{2, 11, id}, mqtttest.StringField(filter), []byte{options}))
		p.expectAck(mqtttest.TypeSuback, 5)
	}
	retained := func(want ...string) {
		t.Helper()
		for _, payload := range want {
			if m := p.expectPublish(payload, 1, false); !m.Retain() {
				t.Errorf("%v is not marked as retained", m)
			} else {
				p.ack(mqtttest.TypePuback, m.ID())
			}
		}
		p.sync()
	}
	subscribe("kept", 1, 1) // retain handling 0: every time
	retained("old")
	subscribe("kept", 1, 1)
	retained("old")
	subscribe("kept", 1|1<<4, 1) // 1: only if it is new
	retained()
}

func TestOverlappingSubscriptions(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p, other := connect(t, b, 5, "c", true), connect(t, b, 5, "other", true)
	add := func(filter string, options byte, id uint32) {
		t.Helper()
		prop := binary.AppendUvarint([]byte{11}, uint64(id))
		p.Send(mqtttest.PacketOf(0x82, mqtttest.Uint16Field(5), []byte{byte(len(prop))}, prop, mqtttest.StringField(filter), []byte{options}))
		p.expectAck(mqtttest.TypeSuback, 5)
	}
	other.publish5(1, "kept", "old", 1)
	add("kept", 1|2<<4, 7) // retain handling 2: never
	add("+", 0, 300)
	m := p.expectPublish("old", 0, false) // for "+", retain handling 0
	if !bytes.Equal(properties(m), []byte{11, 0xAC, 2}) || !m.Retain() {
		t.Errorf("% x", m.Body)
	}
	other.publish5(1, "kept", "live", 1) // overlapping: once, highest QoS, both identifiers
	m = p.expectPublish("live", 1, false)
	if !bytes.Equal(properties(m), []byte{11, 7, 11, 0xAC, 2}) || m.Retain() {
		t.Errorf("% x", m.Body)
	}
	p.ack(mqtttest.TypePuback, m.ID())
	add("own", 1|4, 8) // no local
	add("as/published", 1|8, 9)
	p.Send(mqtttest.PublishPacket(5, 2, "own", 1, "mine")) // "+" delivers it, "own" does not
	if m = p.expectPublish("mine", 0, false); !bytes.Equal(properties(m), []byte{11, 0xAC, 2}) {
		t.Errorf("% x", m.Body)
	}
	p.expectAck(mqtttest.TypePuback, 2)
	other.publish5(3, "as/published", "flag", 1)
	if m = p.expectPublish("flag", 1, false); !m.Retain() {
		t.Error("retain flag is gone")
	}
}

func TestCopyPerSubscription(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t, broker.CopyPerSubscription())
		p, pub := connect(t, b, version, "c", true), connect(t, b, version, "pub", true)
		p.subscribe("a", 1)
		p.subscribe("#", 1)
		pub.publish(1, "a", 1, "x")
		p.expectPublish("x", 1, false)
		p.expectPublish("x", 1, false)
	})
}

func TestReceiveMaximum(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.ReceiveMaximum(2))
	sub, ack := connectWith(t, b, "sub", true, 33, 0, 1)
	sub.version = 5
	if !bytes.Contains(ack.Body, []byte{33, 0, 2}) {
		t.Errorf("CONNACK % x", ack.Body)
	}
	sub.subscribe("t", 2)
	pub := connect(t, b, 5, "pub", true)
	pub.publish(1, "t", 1, "a")
	pub.publish(1, "t", 1, "b")
	m := sub.expectPublish("a", 1, false)
	sub.ExpectSilence(20 * time.Millisecond)
	sub.ack(mqtttest.TypePuback, m.ID())
	sub.expectPublish("b", 1, false)
	for id := range uint16(3) {
		pub.Send(mqtttest.PublishPacket(5, id+1, "t", 2, "x"))
		if id < 2 {
			pub.expectAck(mqtttest.TypePubrec, id+1)
		}
	}
	pub.expectDisconnect(0x93)
}

func TestMaximumPacketSize(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxPacket(100))
	sub, _ := connectWith(t, b, "sub", true, 39, 0, 0, 0, 30)
	sub.subscribe("t", 1)
	pub, ack := connectWith(t, b, "pub", true)
	if !bytes.Contains(ack.Body, []byte{39, 0, 0, 0, 100}) {
		t.Errorf("CONNACK % x", ack.Body)
	}
	pub.publish(1, "t", 1, strings.Repeat("x", 50)) // more than sub takes
	pub.publish(1, "t", 0, strings.Repeat("x", 50))
	pub.publish(1, "t", 1, "small")
	sub.expectPublish("small", 1, false)
	if c := b.Counts(); c.TooLarge != 2 || c.Dropped() != 2 {
		t.Errorf("%+v", c)
	}
	pub.Send(mqtttest.PublishPacket(5, 2, "t", 1, strings.Repeat("x", 200)))
	pub.expectDisconnect(0x95)
}

func TestMessageExpiry(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	sub, pub := connect(t, b, 5, "sub", false), connect(t, b, 5, "pub", true)
	sub.subscribe("t", 1)
	pub.publish5(1, "t", "soon", 0, 2, 0, 0, 0, 60)
	m := sub.expectPublish("soon", 1, false)
	if got := properties(m); !bytes.Equal(got, []byte{2, 0, 0, 0, 60}) {
		t.Errorf("% x", got)
	}
	sub.ack(mqtttest.TypePuback, m.ID())
	sub.goodbye()
	pub.publish5(1, "t", "gone", 1, 2, 0, 0, 0, 0)
	pub.publish5(1, "t", "stays", 0)
	sub, _ = resume(t, b, 5, "sub")
	sub.expectPublish("stays", 1, false)
	fresh := connect(t, b, 5, "fresh", true)
	fresh.subscribe("t", 1)
	fresh.sync()
	if c := b.Counts(); c.Expired != 1 || c.Dropped() != 0 {
		t.Errorf("%+v", c)
	}
}

func TestSessionExpiry(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p, _ := connectWith(t, b, "c", false, 17, 0, 0, 0, 1)
	p.Close()
	mqtttest.Eventually(t, patience, func() bool { return len(b.Sessions()) == 0 })
	p, _ = connectWith(t, b, "c", false, 17, 0, 0, 0, 60)
	p.Send(mqtttest.PacketOf(0xE0, []byte{0, 5, 17, 0, 0, 0, 0})) // DISCONNECT with expiry 0
	p.ExpectClosed()
	if len(b.Sessions()) != 0 {
		t.Error("the session outlives an expiry of 0")
	}
	p, _ = connectWith(t, b, "c", false)
	p.Send(mqtttest.PacketOf(0xE0, []byte{0, 5, 17, 0, 0, 0, 60}))
	p.expectDisconnect(0x82)
	p, ack := connectWith(t, b, "", true)
	if !bytes.Contains(ack.Body, []byte("auto-")) {
		t.Errorf("no client id assigned: % x", ack.Body)
	}
	p.sync()
}

func TestReasonsOfPublish(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxQoS(1))
	p := connect(t, b, 5, "c", true)
	p.Send(mqtttest.PublishPacket(5, 1, "nobody", 1, "x"))
	p.expectCode(mqtttest.TypePuback, 1, 0x10)
	p.Send(mqtttest.PacketOf(0xA2, mqtttest.Uint16Field(2), []byte{0}, mqtttest.StringField("t")))
	if a := p.expectAck(mqtttest.TypeUnsuback, 2); a.Body[3] != 0x11 {
		t.Errorf("UNSUBACK % x", a.Body)
	}
	p.Send(mqtttest.PublishPacket(5, 1, "t", 2, "x"))
	p.expectDisconnect(0x9B)
}
