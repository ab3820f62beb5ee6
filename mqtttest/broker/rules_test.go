package broker_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// rule is a statement of the standard with what shows that the broker keeps
// it. Its number is that of MQTT 5; version 0 means both.
type rule struct {
	number  string
	what    string
	version byte
	show    func(t *testing.T, b *mqtttest.InProcessBroker, version byte)
}

func TestRules(t *testing.T) {
	t.Parallel()
	for _, r := range slices.Concat(connectRules(), willRules(), packetRules()) {
		t.Run(r.number+" "+r.what, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, version byte) {
				if r.version == 0 || r.version == version {
					r.show(t, mqtttest.InProcess(t), version)
				}
			})
		})
	}
}

func connectRules() []rule {
	return []rule{
		{"3.1.2.11.10", "authentication data needs a method", 5, func(t *testing.T, b *mqtttest.InProcessBroker, _ byte) {
			p := dial(t, b, 5)
			p.Send(mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, 2, 0, 30, 4, 22, 0, 1, 'x'}, mqtttest.StringField("c")))
			p.ExpectClosed()
			wantViolations(t, b, 1)
		}},
		{"MQTT-3.1.2-24", "no CONNACK that is too large", 5, func(t *testing.T, b *mqtttest.InProcessBroker, _ byte) {
			p := dial(t, b, 5)
			p.Send(mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, 2, 0, 30, 5, 39, 0, 0, 0, 2}, mqtttest.StringField("c")))
			wantBytes(t, p, nil)
		}},
		{"MQTT-3.1.2-24", "no SUBACK that is too large", 5, func(t *testing.T, b *mqtttest.InProcessBroker, _ byte) {
			p, _ := connectWith(t, b, "c", true, 39, 0, 0, 0, 20)
			body := []byte{0, 1, 0}
			for range 20 {
				body = append(body, 0, 1, 't', 0)
			}
			p.Send(mqtttest.PacketOf(0x82, body))
			wantBytes(t, p, []byte{0xE0, 1, 0x95})
		}},
		{"MQTT-3.1.3-7", "an assigned client id is told, and is another each time", 5, func(t *testing.T, b *mqtttest.InProcessBroker, _ byte) {
			_, first := connectWith(t, b, "", true)
			_, second := connectWith(t, b, "", true)
			if bytes.Equal(first.Body, second.Body) {
				t.Errorf("CONNACK % x twice", first.Body)
			}
		}},
		{"MQTT-3.2.2-2", "no session is present after a clean start", 0, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			connect(t, b, version, "c", false).goodbye()
			p := dial(t, b, version)
			if p.Connect(version, "c", true) {
				t.Error("session present")
			}
		}},
	}
}

// wantBytes expects the last bytes of a connection.
func wantBytes(t *testing.T, p *peer, want []byte) {
	t.Helper()
	_ = p.SetReadDeadline(time.Now().Add(patience))
	var got bytes.Buffer
	if _, err := got.ReadFrom(p); err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("received % x, %v; want % x", got.Bytes(), err, want)
	}
}

func wantViolations(t *testing.T, b *mqtttest.InProcessBroker, n int64) {
	t.Helper()
	if got := b.Counts().Violations; got != n {
		t.Errorf("%d violations, want %d", got, n)
	}
}

func willRules() []rule {
	const due, deleted = true, false
	// ends shows whether the will of a connection that ends so is published.
	ends := func(number, what string, version byte, published bool, end func(*mqtttest.InProcessBroker, *peer)) rule {
		return rule{number, "will: " + what, version, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			watch := connect(t, b, version, "watch", true)
			watch.subscribe("will", 0)
			p := dial(t, b, version)
			p.Send(mortal(version, "mortal", 0))
			p.Expect(mqtttest.TypeConnack)
			end(b, p)
			p.ExpectClosed()
			if published {
				watch.expectPublish("gone", 0, false)
			}
			watch.sync()
		}}
	}
	disconnect := func(code byte) func(*mqtttest.InProcessBroker, *peer) {
		return func(_ *mqtttest.InProcessBroker, p *peer) { p.Send(mqtttest.PacketOf(0xE0, []byte{code})) }
	}
	return []rule{
		ends("MQTT-3.14.4-3", "deleted by DISCONNECT", 0, deleted, func(_ *mqtttest.InProcessBroker, p *peer) { p.Send(mqtttest.PacketOf(0xE0)) }),
		ends("MQTT-3.14.4-3", "deleted by code 0", 5, deleted, disconnect(0)),
		ends("MQTT-3.1.2-8", "published after DISCONNECT with Will Message", 5, due, disconnect(4)),
		ends("MQTT-3.1.2-8", "published after a client's error", 5, due, disconnect(0x80)),
		ends("MQTT-3.1.2-8", "published after a code that a client may not use", 5, due, disconnect(0x8B)),
		ends("MQTT-3.1.2-8", "published after a breach of the protocol", 0, due, func(_ *mqtttest.InProcessBroker, p *peer) { p.Send([]byte{0xC0, 1, 0}) }),
		ends("MQTT-3.1.2-8", "published after a cut", 0, due, func(b *mqtttest.InProcessBroker, _ *peer) { b.Cut("mortal") }),
		ends("MQTT-3.1.4-3", "published after a takeover", 0, due, func(b *mqtttest.InProcessBroker, p *peer) {
			connect(p.t, b, p.version, "mortal", true)
		}),
		{"MQTT-3.1.3-9", "will: due at once when its session ends before its delay", 5, func(t *testing.T, b *mqtttest.InProcessBroker, _ byte) {
			watch := connect(t, b, 5, "watch", true)
			watch.subscribe("will", 0)
			p := dial(t, b, 5)
			p.Send(mortal(5, "mortal", 200))
			p.Expect(mqtttest.TypeConnack)
			p.Close()
			awaitAway(t, b, "mortal")
			connect(t, b, 5, "mortal", true) // a clean start ends the session
			watch.expectPublish("gone", 0, false)
		}},
		{"MQTT-3.8.3-3", "will: not to its own session with No Local", 5, func(t *testing.T, b *mqtttest.InProcessBroker, _ byte) {
			p := dial(t, b, 5)
			p.Send(mortal(5, "", 0)) // its id is assigned
			ack := p.Expect(mqtttest.TypeConnack)
			at := bytes.Index(ack.Body, []byte("auto-"))
			id := string(ack.Body[at : at+int(ack.Body[at-1])])
			p.Send(mqtttest.PacketOf(0x82, []byte{0, 1, 0}, mqtttest.StringField("will"), []byte{1 | 4}))
			p.Expect(mqtttest.TypeSuback)
			p.Close()
			awaitAway(t, b, id)
			back, present := resume(t, b, 5, id)
			if !present {
				t.Error("session not present")
			}
			back.sync()
		}},
		{"MQTT-3.3.2-14", "will: no wildcard in a response topic", 5, func(t *testing.T, b *mqtttest.InProcessBroker, _ byte) {
			p := dial(t, b, 5)
			p.Send(mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, 6, 0, 30, 0}, mqtttest.StringField("c"),
				[]byte{4, 8, 0, 1, '#'}, mqtttest.StringField("will"), mqtttest.StringField("gone")))
			p.ExpectClosed()
			wantViolations(t, b, 1)
		}},
	}
}

// mortal is a CONNECT with a will "gone" on "will" at QoS 1. On MQTT 5 its session lasts
// for 300 s and the will has a delay.
func mortal(version byte, id string, delay byte) []byte {
	if version == 4 {
		return mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{4, 14, 0, 30}, mqtttest.StringField(id),
			mqtttest.StringField("will"), mqtttest.StringField("gone"))
	}
	return mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, 14, 0, 30, 5, 17, 0, 0, 1, 44}, mqtttest.StringField(id),
		[]byte{5, 24, 0, 0, 0, delay}, mqtttest.StringField("will"), mqtttest.StringField("gone"))
}

// awaitAway waits until a session is there without its connection.
func awaitAway(t *testing.T, b *mqtttest.InProcessBroker, id string) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() bool {
		for _, s := range b.Sessions() {
			if s.ClientID == id {
				return !s.Connected
			}
		}
		return false
	})
}

func packetRules() []rule {
	return []rule{
		{"MQTT-3.1.4-3", "what a client sent before it connected again is treated first", 0, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			const times, size = 40, 100_000
			watch := connect(t, b, version, "watch", true)
			watch.subscribe("#", 0) // also to the will, which a goodbye deletes
			last := slices.Concat(mqtttest.PublishPacket(version, 0, "t", 0, strings.Repeat("x", size)), mqtttest.PacketOf(0xE0))
			for range times {
				p := dial(t, b, version)
				p.Send(mortal(version, "c", 0))
				p.Expect(mqtttest.TypeConnack)
				p.Send(last)
				p.Close()
			}
			for range times {
				if m := watch.Expect(mqtttest.TypePublish); m.Topic() != "t" || len(watch.body(m)) != size {
					t.Fatalf("received %v", m)
				}
			}
		}},
		{"MQTT-3.1.4-5", "what follows CONNECT at once is treated", 0, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			p := dial(t, b, version)
			p.Send(slices.Concat(mqtttest.ConnectPacket(version, "c", true), mqtttest.SubscribePacket(version, 1, "t", 1),
				mqtttest.PublishPacket(version, 2, "t", 0, "x"), mqtttest.PacketOf(0xC0)))
			p.Expect(mqtttest.TypeConnack)
			p.Expect(mqtttest.TypeSuback)
			p.expectPublish("x", 0, false)
			p.Expect(mqtttest.TypePingresp)
		}},
		{"MQTT-3.3.1-3", "DUP is not passed on", 0, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			p := connect(t, b, version, "c", true)
			p.subscribe("t", 1)
			packet := mqtttest.PublishPacket(version, 1, "t", 1, "x")
			packet[0] |= 8
			p.Send(packet)
			p.expectPublish("x", 1, false)
		}},
		{"MQTT-3.3.1-8", "live messages are not marked as retained, those for a new subscription are", 0, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			p := connect(t, b, version, "c", true)
			p.subscribe("t", 0)
			packet := mqtttest.PublishPacket(version, 1, "t", 0, "x")
			packet[0] |= 1
			p.Send(packet)
			if m := p.expectPublish("x", 0, false); m.Retain() {
				t.Error("a live message is marked as retained")
			}
			p.subscribe("t", 0)
			if m := p.expectPublish("x", 0, false); !m.Retain() {
				t.Error("a retained message is not marked")
			}
		}},
		{"MQTT-3.8.4-3", "a subscription to the same filter takes the place of the former", 0, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			p := connect(t, b, version, "c", true)
			p.subscribe("t", 1)
			p.subscribe("t", 0)
			p.Send(mqtttest.PublishPacket(version, 1, "t", 1, "x"))
			p.expectPublish("x", 0, false)
			p.expectAck(mqtttest.TypePuback, 1)
			p.sync()
		}},
		{"4.7.3", "a filter of more than 200 levels is refused, and no other", 0, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			p := connect(t, b, version, "c", true)
			deep := strings.Repeat("+/", 199)
			p.subscribe(deep+"x", 0)
			p.Send(mqtttest.SubscribePacket(version, 1, deep+"+/x", 0))
			ack, want := p.Expect(mqtttest.TypeSuback), map[byte]byte{4: 0x80, 5: 0x8F}[version]
			if got := ack.Body[len(ack.Body)-1]; got != want {
				t.Errorf("answered with %#x, want %#x", got, want)
			}
			p.Send(mqtttest.PublishPacket(version, 1, strings.Repeat("/", 199)+"x", 0, "deep"))
			p.expectPublish("deep", 0, false)
		}},
		{"MQTT-4.7.2-1", "wildcards at the beginning do not match $", 0, func(t *testing.T, b *mqtttest.InProcessBroker, version byte) {
			p := connect(t, b, version, "c", true)
			for _, filter := range []string{"#", "+/x", "$share/group/#", "$share/group/+/x"} {
				p.subscribe(filter, 0)
			}
			p.Send(mqtttest.PublishPacket(version, 1, "$own/x", 0, "hidden"))
			p.sync()
			p.subscribe("$own/#", 0)
			p.Send(mqtttest.PublishPacket(version, 1, "$own/x", 0, "seen"))
			p.expectPublish("seen", 0, false)
		}},
		{"MQTT-4.8.2-6", "a shared message that a client refuses goes to nobody else", 5, func(t *testing.T, b *mqtttest.InProcessBroker, _ byte) {
			p, other := connect(t, b, 5, "c", true), connect(t, b, 5, "other", true)
			p.subscribe("$share/g/t", 1)
			pub := connect(t, b, 5, "pub", true)
			pub.publish(1, "t", 1, "x")
			other.subscribe("$share/g/t", 1)
			m := p.expectPublish("x", 1, false)
			p.Send(mqtttest.PacketOf(0x40, mqtttest.Uint16Field(m.ID()), []byte{0x80}))
			p.goodbye()
			other.sync()
		}},
	}
}
