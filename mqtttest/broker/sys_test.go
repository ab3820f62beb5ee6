package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A subscriber to $SYS receives all values at once and then those that change; Stats returns
// the same values.
func TestSys(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t, broker.SysEvery(10*time.Millisecond))
		away := connect(t, b, version, "away", false)
		away.subscribe("t", 1)
		away.goodbye()
		pub := connect(t, b, version, "pub", true)
		retained := mqtttest.PublishPacket(version, 1, "t", 1, "12345")
		retained[0] |= 1
		pub.Send(retained)
		pub.expectAck(broker.Puback, 1)
		sub := connect(t, b, version, "sub", true)
		sub.subscribe("$SYS/broker/#", 1)
		read := func(retain bool) (topic, value string) {
			m := sub.Expect(broker.Publish)
			if m.QoS() != 0 || (retain && !m.Retain()) {
				t.Fatalf("%v", m)
			}
			return strings.TrimPrefix(m.Topic(), "$SYS/broker/"), string(sub.body(m))
		}
		first := make(map[string]string)
		for range 13 {
			topic, value := read(true)
			first[topic] = value
		}
		for topic, want := range map[string]string{
			"clients/connected": "2", "clients/total": "3", "subscriptions/count": "2", "publish/messages/received": "1",
			"publish/messages/sent": "0", "publish/messages/dropped": "0", "retained messages/count": "1",
			"store/messages/count": "1", "store/messages/bytes": "6",
		} {
			if first[topic] != want {
				t.Errorf("%s: %q, want %q", topic, first[topic], want)
			}
		}
		if first["uptime"] == "" || first["bytes/received"] == "0" || first["bytes/sent"] == "0" {
			t.Errorf("%v", first)
		}
		pub.goodbye()
		for {
			if topic, value := read(false); topic == "clients/connected" && value == "1" {
				break
			}
		}
		got := b.Stats()
		if got.Clients != 1 || got.Sessions != 2 || got.Retained != 1 || got.Queued != 1 || got.QueuedBytes != 6 || got.Uptime <= 0 || got.Dropped != 0 {
			t.Errorf("%+v", got)
		}
		if retained := b.Retained(); len(retained) != 1 {
			t.Errorf("retained %q", retained)
		}
	})
}

// The topics of the broker are its own.
func TestNobodyElsePublishesBelowSys(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.SysEvery(0))
	sub := connect(t, b, 5, "sub", true)
	sub.subscribe("$SYS/forged", 0)
	pub := connect(t, b, 5, "pub", true)
	pub.Send(mqtttest.PublishPacket(5, 1, "$SYS/forged", 1, "x"))
	pub.expectCode(broker.Puback, 1, 0x87)
	old := connect(t, b, 4, "old", true)
	old.publish(1, "$SYS/forged", 1, "x") // 3.1.1 cannot say no
	sub.sync()
	if c := b.Counts(); c.Swallowed != 1 || c.Published != 0 {
		t.Errorf("%+v", c)
	}
}
