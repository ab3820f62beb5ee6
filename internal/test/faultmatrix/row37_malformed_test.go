package faultmatrix_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 37: the broker answers SUBSCRIBE with malformed, huge or random bytes. Each ends its
// connection, the client does not wait for the length that a header announces, nothing
// panics, and the client reconnects and works.
func TestFault_37_MalformedBytes(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		seed := rand.Uint64()
		h.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		cases := h.malformed()
		for range 40 {
			cases = append(cases, malformedCase{"random", func(uint16) []byte { return noise(random) }})
		}
		fake := h.polite(func(n int, p mqtttest.Packet) []byte {
			if n <= len(cases) {
				return cases[n-1].answer(p.ID())
			}
			return h.grant(n, p)
		}, func(n int, c net.Conn) {
			if n > len(cases) {
				_, _ = c.Write(mqtttest.PublishPacket(h.level(), 1, h.name+"/data", 1, id(0)))
			}
		})
		s := h.newSubscriber(fake.URL(), "-sub", mqttbroker.WithMaxReconnectInterval(10*time.Millisecond))
		s.record(h.name + "/data")
		if err := s.start(); err != nil {
			h.Logf("the first: %v", err)
		}
		for i, c := range cases { // each has its own timeout: together they may take long on a busy machine
			h.eventually(func() error {
				if len(s.connected()) <= i+1 {
					return fmt.Errorf("the client stays after %q", c.name)
				}
				return nil
			})
		}
		s.ready()
		h.rec.Attempted(id(0))
		h.rec.Accepted(id(0))
		h.settled()
		if n := len(s.lost()); n != len(cases) {
			h.Errorf("%d connections lost, want %d", n, len(cases))
		}
		if n := h.said.logs("another client uses the client id"); n > 0 {
			h.Errorf("taken %d times for a takeover", n)
		}
	})
}

type malformedCase struct {
	name   string
	answer func(id uint16) []byte // answers the SUBSCRIBE with that id
}

// malformed returns packets that no broker may send.
func (h *harness) malformed() (cases []malformedCase) {
	add := func(name string, packet []byte) {
		cases = append(cases, malformedCase{name, func(uint16) []byte { return packet }})
	}
	v := h.level()
	cases = append(cases,
		malformedCase{"SUBACK with more codes than filters", func(id uint16) []byte {
			return mqtttest.SubackPacket(v, id, 1, 1, 1, 1)
		}},
		malformedCase{"SUBACK without a code", func(id uint16) []byte { return mqtttest.SubackPacket(v, id) }},
	)
	add("SUBACK cut short", mqtttest.PacketOf(0x90, []byte{0}))
	add("PUBLISH of 256 MiB", []byte{0x32, 0xff, 0xff, 0xff, 0x7f})
	add("SUBACK of 256 MiB", []byte{0x90, 0xff, 0xff, 0xff, 0x7f})
	add("remaining length of five bytes", []byte{0x32, 0xff, 0xff, 0xff, 0xff, 0x01})
	add("bad UTF-8 in the topic", mqtttest.PublishPacket(v, 7, "a\xff\xfe", 1, "x"))
	add("NUL in the topic", mqtttest.PublishPacket(v, 7, "a\x00b", 1, "x"))
	add("wildcard in the topic", mqtttest.PublishPacket(v, 7, "a/+", 1, "x"))
	add("QoS 3", mqtttest.PublishPacket(v, 7, "a", 3, "x"))
	add("packet identifier 0", mqtttest.PublishPacket(v, 0, "a", 1, "x"))
	add("topic longer than the packet", mqtttest.PacketOf(0x32, mqtttest.Uint16Field(500), []byte("a")))
	add("empty PUBLISH", mqtttest.PacketOf(0x32))
	add("PUBACK of one byte", mqtttest.PacketOf(0x40, []byte{1}))
	add("PUBREL with wrong flags", mqtttest.PacketOf(0x60, mqtttest.Uint16Field(1)))
	add("second CONNACK", mqtttest.ConnackPacket(v, false, 0))
	add("packet type 0", mqtttest.PacketOf(0x00, []byte{1, 2}))
	add("CONNECT from the broker", mqtttest.ConnectPacket(v, "broker", true))
	add("SUBSCRIBE from the broker", mqtttest.SubscribePacket(v, 3, "a", 1))
	add("PINGRESP with a body", mqtttest.PacketOf(0xd0, []byte{1}))
	if h.five() {
		topic := mqtttest.StringField("a")
		add("properties longer than the packet", mqtttest.PacketOf(0x32, topic, mqtttest.Uint16Field(7), []byte{100, 1}))
		add("unknown property", mqtttest.PacketOf(0x32, topic, mqtttest.Uint16Field(7), []byte{2, 0x7e, 1}))
		add("topic alias that was not allowed", mqtttest.PacketOf(0x32, topic, mqtttest.Uint16Field(7), []byte{3, 0x23, 0, 1}))
		add("property twice", mqtttest.PacketOf(0x32, topic, mqtttest.Uint16Field(7), []byte{4, 0x01, 1, 0x01, 1}))
		add("bad UTF-8 in a user property", mqtttest.PacketOf(0x32, topic, mqtttest.Uint16Field(7),
			[]byte{7, 0x26, 0, 1, 0xff, 0, 1, 'v'}))
	}
	return cases
}

// noise returns random bytes, followed by enough zeros to complete any length that they
// announce; then a packet of type 0 follows. A PUBLISH over the limit is skipped, up to
// 256 MiB, so that the client would wait for a longer one until the SUBSCRIBE times out;
// a case above covers that.
func noise(random *rand.Rand) []byte {
	b := make([]byte, 64+1<<20+1<<16)
	for i := range b[:1+random.IntN(63)] {
		b[i] = byte(random.Uint32())
	}
	if b[0]>>4 == byte(mqtttest.TypePublish) {
		b[3] &= 0x3F // the third byte of the length is the last one: below 1 MiB
	}
	return b
}
