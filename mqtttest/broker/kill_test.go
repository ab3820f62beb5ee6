package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func TestKillWithoutSessions(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		sub, pub := connect(t, b, version, "sub", false), connect(t, b, version, "pub", true)
		sub.subscribe("t", 1)
		sub.subscribe("u", 1)
		pub.publish(1, "t", 1, "x")
		loss := b.Kill(false)
		if len(loss.Messages) != 1 || loss.Sessions != 1 || loss.Subscriptions != 2 || loss.Retained != 0 || loss.Again != 0 {
			t.Errorf("%+v", loss)
		}
		if m := loss.Messages[0]; m.ClientID != "sub" || m.Topic != "t" || string(m.Payload) != "x" || m.QoS != 1 {
			t.Errorf("%+v", m)
		}
		if again := b.Kill(false); len(again.Messages) != 0 {
			t.Errorf("killed twice: %+v", again)
		}
		b.Start()
		b.Start()
		if _, present := resume(t, b, version, "sub"); present {
			t.Error("session present")
		}
	})
}

// A broker that saves periodically loses what it acknowledged since, and sends
// again what its clients acknowledged since.
func TestKillLosesWhatWasNotSaved(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t, broker.SaveAfter(1_000_000))
		sub, pub := connect(t, b, version, "sub", false), connect(t, b, version, "pub", true)
		sub.subscribe("t", 1)
		for _, payload := range []string{"saved", "taken since"} {
			pub.publish(1, "t", 1, payload)
			sub.expectPublish(payload, 1, false)
		}
		b.Save()
		sub.ack(mqtttest.TypePuback, 2)
		sub.sync()
		pub.publish(1, "t", 1, "lost")
		retained := mqtttest.PublishPacket(version, 1, "r", 1, "lost, too")
		retained[0] |= 1
		pub.Send(retained)
		pub.expectAck(mqtttest.TypePuback, 1)
		connect(t, b, version, "late", false)
		loss := b.Kill(true)
		b.Start()
		if len(loss.Messages) != 1 || string(loss.Messages[0].Payload) != "lost" || loss.Again != 1 || loss.Retained != 1 || loss.Sessions != 1 {
			t.Errorf("%+v", loss)
		}
		sub, present := resume(t, b, version, "sub")
		if !present {
			t.Fatal("session not present")
		}
		sub.expectPublish("saved", 1, true)
		sub.expectPublish("taken since", 1, true)
		sub.sync()
		if _, present := resume(t, b, version, "late"); present {
			t.Error("a session that was not saved is there")
		}
	})
}

func TestSavesByTimeByChangesAndAtStop(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]broker.Option{
		"time": broker.SaveEvery(time.Millisecond), "changes": broker.SaveAfter(1), "stop": broker.SaveAfter(1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t, opt)
			sub := connect(t, b, 5, "sub", false)
			sub.subscribe("t", 1)
			if name == "stop" {
				b.Stop()
				b.Start()
			}
			saves := b.Counts().Saves
			mqtttest.Eventually(t, patience, func() bool { return name != "time" || b.Counts().Saves > saves+1 })
			if loss := b.Kill(true); loss.Sessions+loss.Subscriptions != 0 {
				t.Errorf("%+v", loss)
			}
			b.Start()
			if _, present := resume(t, b, 5, "sub"); !present {
				t.Error("session not present")
			}
		})
	}
}

// A shared group and its messages survive a kill.
func TestKillKeepsSharedGroups(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	one := connect(t, b, 5, "one", false)
	one.subscribe("$share/g/t", 1)
	two := connect(t, b, 5, "two", false)
	two.subscribe("$share/g/t", 1)
	pub := connect(t, b, 5, "pub", true)
	for i := range 4 {
		pub.publish(1, "t", 1, fmt.Sprint(i))
	}
	b.Kill(true)
	b.Start()
	two, _ = resume(t, b, 5, "two")
	two.expectPublish("1", 1, true)
	two.expectPublish("3", 1, true)
	// The session of one ends: its messages go to two.
	connect(t, b, 5, "one", true)
	two.expectPublish("0", 1, false)
	two.expectPublish("2", 1, false)
}

// An orderly stop tells clients of MQTT 5, a kill resets.
func TestStopSaysGoodbye(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		p := connect(t, b, version, "c", true)
		p.sync()
		stopped := make(chan struct{})
		go func() { b.Stop(); close(stopped) }()
		p.expectDisconnect(0x8B)
		p.Close()
		<-stopped
		b.Stop()
	})
}

// Nothing that happens on a connection after the kill counts.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.SaveAfter(100), broker.MaxInflight(1000))
	sub := connect(t, b, 4, "sub", false)
	sub.subscribe("t", 1)
	sub.goodbye()
	accepted := make(map[string]bool)
	lost := make(map[string]bool)
	for round := range 10 {
		pub := connect(t, b, 4, "pub", true)
		for i := range 150 + round*7 {
			payload := fmt.Sprint(round, "/", i)
			pub.publish(1, "t", 1, payload)
			accepted[payload] = true
		}
		for _, m := range b.Kill(true).Messages {
			lost[string(m.Payload)] = true
		}
		b.Start()
	}
	sub, _ = resume(t, b, 4, "sub")
	got := make(map[string]bool)
	for range len(accepted) - len(lost) {
		m := sub.Expect(mqtttest.TypePublish)
		got[string(m.Payload())] = true
		sub.ack(mqtttest.TypePuback, m.ID())
	}
	sub.sync()
	var missing []string
	for payload := range accepted {
		if got[payload] == lost[payload] {
			missing = append(missing, payload)
		}
	}
	slices.Sort(missing)
	if len(missing) > 0 || len(lost) == 0 {
		t.Errorf("%d lost as told; not accounted for: %q", len(lost), missing)
	}
}
