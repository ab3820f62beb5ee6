package broker_test

import (
	"fmt"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// What a client has not acknowledged is sent again in the original order, with
// DUP, PUBREL for what is released, then what waited [MQTT-4.4.0-1],
// [MQTT-4.6.0-1].
func TestRedelivery(t *testing.T) {
	t.Parallel()
	ends := map[string]func(b *mqtttest.InProcessBroker, p *peer){
		"client closes": func(_ *mqtttest.InProcessBroker, p *peer) { p.Close() },
		"cut":           func(b *mqtttest.InProcessBroker, _ *peer) { b.Cut("sub") },
		"goodbye":       func(_ *mqtttest.InProcessBroker, p *peer) { p.goodbye() },
		"takeover":      func(*mqtttest.InProcessBroker, *peer) {},
		"stop":          func(b *mqtttest.InProcessBroker, _ *peer) { b.Stop(); b.Start() },
		"kill":          func(b *mqtttest.InProcessBroker, _ *peer) { b.Kill(true); b.Start() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, version byte) { redelivery(t, version, end) })
		})
	}
}

func redelivery(t *testing.T, version byte, end func(*mqtttest.InProcessBroker, *peer)) {
	b := mqtttest.InProcess(t)
	sub, pub := connect(t, b, version, "sub", false), connect(t, b, version, "pub", true)
	sub.subscribe("t", 2)
	for i := range 6 {
		pub.publish(1, "t", byte(1+i%2), fmt.Sprint(i))
	}
	var ids []uint16
	for i := range 6 {
		ids = append(ids, sub.expectPublish(fmt.Sprint(i), byte(1+i%2), false).ID())
	}
	sub.ack(mqtttest.TypePuback, ids[2]) // done
	sub.ack(mqtttest.TypePubrec, ids[3]) // released
	sub.expectAck(mqtttest.TypePubrel, ids[3])
	sub.sync()
	end(b, sub)
	sub, present := resume(t, b, version, "sub")
	if !present {
		t.Fatal("session not present")
	}
	for i, id := range ids {
		switch i {
		case 2:
		case 3:
			sub.expectAck(mqtttest.TypePubrel, id)
		default:
			if m := sub.expectPublish(fmt.Sprint(i), byte(1+i%2), true); m.ID() != id {
				t.Errorf("%v, want id %d", m, id)
			}
		}
	}
	pub = connect(t, b, version, "pub", true)
	pub.publish(1, "t", 1, "new")
	sub.expectPublish("new", 1, false)
}

func TestSessionsThatEnd(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		connect(t, b, version, "c", true).goodbye()
		p, present := resume(t, b, version, "c")
		if present {
			t.Error("a clean session was kept")
		}
		p.subscribe("t", 1)
		p.goodbye()
		p = dial(t, b, version)
		if p.Connect(version, "c", true) {
			t.Error("session present though a clean one was asked for")
		}
		pub := connect(t, b, version, "pub", true)
		pub.publish(1, "t", 1, "x")
		p.sync() // nothing came before: the subscription is gone
		if got := len(b.Sessions()); got != 2 {
			t.Errorf("%d sessions", got)
		}
	})
}

func TestTakeover(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		first := connect(t, b, version, "c", false)
		first.subscribe("t", 1)
		second, present := resume(t, b, version, "c")
		if !present {
			t.Error("session not present")
		}
		first.expectDisconnect(0x8E)
		second.sync()
	})
}

// Nobody is called in a connection that does not begin with CONNECT, and a
// second CONNECT ends it [MQTT-3.1.0-1], [MQTT-3.1.0-2].
func TestConnectComesFirstAndOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		p := dial(t, b, version)
		p.Send(mqtttest.PublishPacket(version, 1, "t", 1, "x"))
		p.ExpectClosed()
		p = connect(t, b, version, "c", true)
		p.Send(mqtttest.ConnectPacket(version, "c", true))
		p.expectDisconnect(0x82)
		if n := b.Counts().Violations; n != 2 {
			t.Errorf("%d violations", n)
		}
	})
}

func TestConnectRefused(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		packet []byte
		code   int // -1: closed without an answer
	}{
		"MQTT 3.1":                 {mqtttest.PacketOf(0x10, mqtttest.StringField("MQIsdp"), []byte{3, 2, 0, 30, 0, 1, 'c'}), 1},
		"version 6":                {mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{6, 2, 0, 30, 0, 0, 1, 'c'}), 0x84},
		"no id, session to keep":   {mqtttest.ConnectPacket(4, "", false), 2},
		"authentication method":    {mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, 2, 0, 30, 4, 0x15, 0, 1, 'x', 0, 1, 'c'}), 0x8C},
		"reserved flag":            {mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{4, 3, 0, 30, 0, 1, 'c'}), -1},
		"password without user":    {mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{4, 0x42, 0, 30, 0, 1, 'c', 0, 1, 'p'}), -1},
		"receive maximum 0":        {mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, 2, 0, 30, 3, 0x21, 0, 0, 0, 1, 'c'}), -1},
		"will QoS 3":               {mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{4, 0x1E, 0, 30, 0, 1, 'c', 0, 1, 't', 0, 0}), -1},
		"will topic with wildcard": {mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, 6, 0, 30, 0, 0, 1, 'c', 0, 0, 1, '#', 0, 0}), 0x90},
		"bytes too many":           {mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{4, 2, 0, 30, 0, 1, 'c', 0}), -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			p := dial(t, b, 4)
			p.Send(test.packet)
			if test.code >= 0 {
				if c := p.Expect(mqtttest.TypeConnack); int(c.Body[1]) != test.code {
					t.Errorf("code %#x, want %#x", c.Body[1], test.code)
				}
			}
			p.ExpectClosed()
			if len(b.Sessions()) != 0 {
				t.Error("a session began")
			}
		})
	}
}
