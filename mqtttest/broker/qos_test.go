package broker_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func TestHandshakes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		pub, sub := connect(t, b, version, "pub", true), connect(t, b, version, "sub", true)
		for granted := range byte(3) {
			filter := fmt.Sprint("q", granted)
			sub.subscribe(filter, granted)
			for sent := range byte(3) {
				pub.publish(7, filter, sent, "hello")
				m := sub.expectPublish("hello", min(sent, granted), false)
				switch m.QoS() {
				case 1:
					sub.ack(mqtttest.TypePuback, m.ID())
				case 2:
					sub.ack(mqtttest.TypePubrec, m.ID())
					sub.expectAck(mqtttest.TypePubrel, m.ID())
					sub.ack(mqtttest.TypePubcomp, m.ID())
				}
			}
		}
		sub.sync()
		for _, s := range b.Sessions() {
			if s.Pending != 0 {
				t.Errorf("%s still has %d messages", s.ClientID, s.Pending)
			}
		}
		if c := b.Counts(); c.StrayAcks != 0 || c.Published != 9 || c.Packets(broker.ToBroker, broker.Publish) != 9 {
			t.Errorf("%+v", c)
		}
	})
}

// A QoS 2 message that is sent again before PUBREL is routed once
// [MQTT-4.3.3-10]; after PUBREL the identifier means a new one.
func TestQoS2IsRoutedOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		sub := connect(t, b, version, "sub", true)
		sub.subscribe("t", 0)
		pub := connect(t, b, version, "pub", false)
		packet := mqtttest.PublishPacket(version, 7, "t", 2, "one")
		again := append([]byte{packet[0] | 8}, packet[1:]...)
		pub.Send(packet)
		pub.expectAck(mqtttest.TypePubrec, 7)
		pub.Send(again)
		pub.expectAck(mqtttest.TypePubrec, 7)
		pub.Close()
		pub, present := resume(t, b, version, "pub")
		if !present {
			t.Fatal("session not present")
		}
		pub.Send(again)
		pub.expectAck(mqtttest.TypePubrec, 7)
		pub.ack(mqtttest.TypePubrel, 7)
		pub.expectCode(mqtttest.TypePubcomp, 7, 0)
		pub.ack(mqtttest.TypePubrel, 7)
		want := map[byte]byte{4: 0, 5: 0x92}[version]
		pub.expectCode(mqtttest.TypePubcomp, 7, want)
		pub.publish(7, "t", 2, "two")
		sub.expectPublish("one", 0, false)
		sub.expectPublish("two", 0, false)
		if n := b.Counts().Repeated; n != 2 {
			t.Errorf("repeated %d", n)
		}
	})
}

// The window to a client is MaxInflight, the rest waits for acknowledgements.
func TestWindow(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t, broker.MaxInflight(3))
		sub, pub := connect(t, b, version, "sub", true), connect(t, b, version, "pub", true)
		sub.subscribe("t", 2)
		for i := range 6 {
			pub.publish(1, "t", byte(1+i%2), fmt.Sprint(i))
		}
		var ids []uint16
		for i := range 3 {
			ids = append(ids, sub.expectPublish(fmt.Sprint(i), byte(1+i%2), false).ID())
		}
		sub.ExpectSilence(20 * time.Millisecond)
		sub.ack(mqtttest.TypePubrec, ids[1])
		sub.expectAck(mqtttest.TypePubrel, ids[1])
		sub.ExpectSilence(20 * time.Millisecond) // it is in flight until PUBCOMP
		sub.ack(mqtttest.TypePubcomp, ids[1])
		if id := sub.expectPublish("3", 2, false).ID(); id != ids[2]+1 {
			t.Errorf("id %d after %v", id, ids)
		}
		sub.ack(mqtttest.TypePuback, ids[0])
		sub.ack(mqtttest.TypePuback, ids[2])
		sub.expectPublish("4", 1, false)
		sub.expectPublish("5", 2, false)
	})
}

// Acknowledgements for what the connection did not carry have no effect.
func TestStrayAcks(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxInflight(1))
	sub := connect(t, b, 4, "sub", false)
	sub.subscribe("t", 1)
	sub.ack(mqtttest.TypePuback, 9)
	sub.ack(mqtttest.TypePubcomp, 9)
	pub := connect(t, b, 4, "pub", true)
	pub.publish(1, "t", 1, "a")
	pub.publish(1, "t", 1, "b")
	first := sub.expectPublish("a", 1, false)
	sub.Close()
	sub = dial(t, b, 4)
	sub.Send(mqtttest.ConnectPacket(4, "sub", false))
	sub.Expect(mqtttest.TypeConnack)
	sub.expectPublish("a", 1, true)
	sub.ack(mqtttest.TypePubcomp, first.ID())
	sub.ack(mqtttest.TypePuback, first.ID())
	sub.expectPublish("b", 1, false)
	if n := b.Counts().StrayAcks; n != 3 {
		t.Errorf("%d stray acknowledgements", n)
	}
}

func TestQueueBoundIsCounted(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxQueued(2))
	sub := connect(t, b, 4, "sub", false)
	sub.subscribe("t", 1)
	sub.goodbye()
	pub := connect(t, b, 4, "pub", true)
	for i := range 5 {
		pub.publish(1, "t", 1, fmt.Sprint(i))
	}
	sub, _ = resume(t, b, 4, "sub")
	sub.expectPublish("0", 1, false)
	sub.expectPublish("1", 1, false)
	if b.Dropped() != 3 || b.Counts().QueueFull != 3 {
		t.Errorf("dropped %d", b.Dropped())
	}
}
