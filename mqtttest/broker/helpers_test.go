package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

const patience = time.Minute

// onBoth runs a test on MQTT 3.1.1 (4) and 5.
func onBoth(t *testing.T, f func(t *testing.T, version byte)) {
	t.Helper()
	for _, version := range []byte{4, 5} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			t.Parallel()
			f(t, version)
		})
	}
}

// peer is a plain client.
type peer struct {
	*mqtttest.RawClient

	t       *testing.T
	version byte
}

// dial opens a connection and sends nothing.
func dial(t *testing.T, b *mqtttest.InProcessBroker, version byte) *peer {
	t.Helper()
	return &peer{mqtttest.Raw(t, b.URL()), t, version}
}

// connect is a client with a session that lasts if it is not clean.
func connect(t *testing.T, b *mqtttest.InProcessBroker, version byte, id string, clean bool) *peer {
	t.Helper()
	p := dial(t, b, version)
	p.Connect(version, id, clean)
	return p
}

// resume connects and reports whether the session was present.
func resume(t *testing.T, b *mqtttest.InProcessBroker, version byte, id string) (*peer, bool) {
	t.Helper()
	p := dial(t, b, version)
	return p, p.Connect(version, id, false)
}

// connectWith sends a CONNECT of MQTT 5 with properties.
func connectWith(t *testing.T, b *mqtttest.InProcessBroker, id string, clean bool, properties ...byte) (*peer, mqtttest.Packet) {
	t.Helper()
	p := dial(t, b, 5)
	flags := byte(0)
	if clean {
		flags = 2
	}
	p.Send(mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, flags, 0, 30, byte(len(properties))}, properties, mqtttest.StringField(id)))
	ack := p.Expect(mqtttest.TypeConnack)
	if ack.Body[1] != 0 {
		t.Fatalf("refused with %#x", ack.Body[1])
	}
	return p, ack
}

func (p *peer) subscribe(filter string, qos byte) {
	p.t.Helper()
	p.Send(mqtttest.SubscribePacket(p.version, 1, filter, qos))
	ack := p.Expect(mqtttest.TypeSuback)
	if got := ack.Body[len(ack.Body)-1]; got != qos {
		p.t.Fatalf("subscription to %s at QoS %d granted as %#x", filter, qos, got)
	}
}

// publish sends a message and completes its handshake.
func (p *peer) publish(id uint16, topic string, qos byte, payload string) {
	p.t.Helper()
	p.Send(mqtttest.PublishPacket(p.version, id, topic, qos, payload))
	switch qos {
	case 1:
		p.expectAck(mqtttest.TypePuback, id)
	case 2:
		p.expectAck(mqtttest.TypePubrec, id)
		p.Send(mqtttest.AckPacket(mqtttest.TypePubrel, id))
		p.expectAck(mqtttest.TypePubcomp, id)
	}
}

// publish5 sends a PUBLISH of MQTT 5 with properties and awaits its PUBACK.
func (p *peer) publish5(id uint16, topic, payload string, flags byte, properties ...byte) {
	p.t.Helper()
	p.Send(mqtttest.PacketOf(0x32|flags, mqtttest.StringField(topic), mqtttest.Uint16Field(id), []byte{byte(len(properties))}, properties, []byte(payload)))
	p.expectAck(mqtttest.TypePuback, id)
}

func (p *peer) expectAck(kind mqtttest.PacketType, id uint16) mqtttest.Packet {
	p.t.Helper()
	a := p.Expect(kind)
	if a.ID() != id {
		p.t.Fatalf("%v, want id %d", a, id)
	}
	return a
}

// expectCode expects an acknowledgement with a reason code of MQTT 5.
func (p *peer) expectCode(kind mqtttest.PacketType, id uint16, code byte) {
	p.t.Helper()
	a := p.expectAck(kind, id)
	got := byte(0)
	if len(a.Body) > 2 {
		got = a.Body[2]
	}
	if got != code {
		p.t.Fatalf("%v with code %#x, want %#x", a, got, code)
	}
}

// expectPublish expects a message; body is without properties.
func (p *peer) expectPublish(payload string, qos byte, dup bool) mqtttest.Packet {
	p.t.Helper()
	m := p.Expect(mqtttest.TypePublish)
	if got := string(p.body(m)); got != payload || m.QoS() != qos || m.Dup() != dup {
		p.t.Fatalf("%v with %q, want %q at QoS %d, dup %t", m, got, payload, qos, dup)
	}
	return m
}

func (p *peer) body(m mqtttest.Packet) []byte {
	return broker.Observed{Packet: m, Version: p.version}.Message()
}

func (p *peer) ack(kind mqtttest.PacketType, id uint16) {
	p.t.Helper()
	p.Send(mqtttest.AckPacket(kind, id))
}

// sync returns when the broker has treated everything sent before.
func (p *peer) sync() {
	p.t.Helper()
	p.Send(mqtttest.PacketOf(0xC0))
	p.Expect(mqtttest.TypePingresp)
}

// expectDisconnect expects a DISCONNECT of MQTT 5 with a reason and the end of
// the connection; on MQTT 3.1.1 the end alone.
func (p *peer) expectDisconnect(code byte) {
	p.t.Helper()
	if p.version == 5 {
		d := p.Expect(mqtttest.TypeDisconnect)
		if len(d.Body) == 0 || d.Body[0] != code {
			p.t.Fatalf("DISCONNECT % x, want %#x", d.Body, code)
		}
	}
	p.ExpectClosed()
}

func (p *peer) goodbye() {
	p.t.Helper()
	p.Send(mqtttest.PacketOf(0xE0))
	p.ExpectClosed()
}

// wantFaults waits until faults were applied as often as wanted.
func wantFaults(t *testing.T, b *mqtttest.InProcessBroker, kind string, n int64) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		if got := b.Faults()[kind]; got != n {
			return fmt.Errorf("%q applied %d times, want %d: %v", kind, got, n, b.Faults())
		}
		return nil
	})
}
