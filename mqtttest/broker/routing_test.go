package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func TestWildcards(t *testing.T) {
	t.Parallel()
	topics := []string{"a", "a/b", "a/b/c", "b", "/a", "a/", "$own/x", "$x"}
	for filter, want := range map[string][]string{
		"#":       {"a", "a/b", "a/b/c", "b", "/a", "a/"},
		"+":       {"a", "b"},
		"a/#":     {"a", "a/b", "a/b/c", "a/"},
		"a/+":     {"a/b", "a/"},
		"+/a":     {"/a"},
		"+/+":     {"a/b", "/a", "a/"},
		"a/+/c":   {"a/b/c"},
		"+/b/#":   {"a/b", "a/b/c"},
		"$own/#":  {"$own/x"},
		"$own/+":  {"$own/x"},
		"a":       {"a"},
		"a/b/c/#": {"a/b/c"},
	} {
		t.Run(filter, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			p := connect(t, b, 4, "c", true)
			p.subscribe(filter, 0)
			for _, topic := range topics {
				p.Send(mqtttest.PublishPacket(4, 0, topic, 0, "x"))
			}
			p.Send(mqtttest.PacketOf(0xC0))
			var got []string
			for range want {
				got = append(got, p.Expect(mqtttest.TypePublish).Topic())
			}
			p.Expect(mqtttest.TypePingresp)
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}

func TestFiltersAndTopicsThatAreWrong(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	for _, filter := range []string{"", "a#", "#/a", "a/+b", "$share/g", "$share//a", "$share/+/a", "$share/g/", "a\x00b", "\xff"} {
		p := connect(t, b, 5, "c", true)
		p.Send(mqtttest.SubscribePacket(5, 1, filter, 1))
		if d := p.Expect(mqtttest.TypeDisconnect); d.Body[0] != 0x8F && d.Body[0] != 0x81 {
			t.Errorf("%q: % x", filter, d.Body)
		}
		p.ExpectClosed()
	}
	for _, topic := range []string{"", "a/#", "+", "a\x00", "\xc0\x80"} {
		p := connect(t, b, 5, "c", true)
		p.Send(mqtttest.PublishPacket(5, 1, topic, 1, "x"))
		if d := p.Expect(mqtttest.TypeDisconnect); d.Body[0] != 0x90 && d.Body[0] != 0x81 {
			t.Errorf("%q: % x", topic, d.Body)
		}
		p.ExpectClosed()
	}
}

func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		p := connect(t, b, version, "c", true)
		for _, filter := range []string{"a", "+", "$share/g/a"} {
			p.subscribe(filter, 1)
			id := []byte{0, 2}
			if version == 5 {
				id = append(id, 0)
			}
			p.Send(mqtttest.PacketOf(0xA2, id, mqtttest.StringField(filter)))
			p.expectAck(mqtttest.TypeUnsuback, 2)
			p.publish(1, "a", 1, "x")
			p.sync()
		}
	})
}

func TestRetained(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		pub := connect(t, b, version, "pub", true)
		retain := func(topic, payload string) {
			packet := mqtttest.PublishPacket(version, 1, topic, 1, payload)
			packet[0] |= 1
			pub.Send(packet)
			pub.expectAck(mqtttest.TypePuback, 1)
		}
		retain("s/1", "old")
		retain("s/1", "one")
		retain("s/2", "two")
		retain("s/3", "three")
		retain("s/2", "")
		sub := connect(t, b, version, "sub", true)
		sub.subscribe("s/#", 1)
		for _, want := range []string{"one", "three"} {
			if m := sub.expectPublish(want, 1, false); !m.Retain() {
				t.Errorf("%v is not marked as retained", m)
			}
		}
		retain("s/1", "live")
		if m := sub.expectPublish("live", 1, false); m.Retain() {
			t.Errorf("%v is marked as retained", m)
		}
		sub.subscribe("$share/g/s/#", 1)
		sub.sync()
		if got := b.Retained(); !slices.Equal(got, []string{"s/1", "s/3"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestSharedGroupTakesTurns(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		var members []*peer
		for i := range 3 {
			p := connect(t, b, version, fmt.Sprint("m", i), true)
			p.subscribe("$share/g/t/+", 1)
			members = append(members, p)
		}
		other := connect(t, b, version, "other", true)
		other.subscribe("$share/h/t/+", 1)
		pub := connect(t, b, version, "pub", true)
		for i := range 6 {
			pub.publish(1, "t/x", 1, fmt.Sprint(i))
			other.expectPublish(fmt.Sprint(i), 1, false)
		}
		for i, p := range members {
			p.expectPublish(fmt.Sprint(i), 1, false)
			p.expectPublish(fmt.Sprint(i+3), 1, false)
			p.sync()
		}
	})
}

// The messages of a member of a group go to another one when its session ends, unless an
// option changes that.
func TestSharedGroupHandsOver(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		for _, stay := range []bool{false, true} {
			var opts []broker.Option
			if stay {
				opts = append(opts, broker.SharedStaysWithSession())
			}
			b := mqtttest.InProcess(t, opts...)
			one, two := connect(t, b, version, "one", true), connect(t, b, version, "two", true)
			one.subscribe("$share/g/t", 2)
			two.subscribe("$share/g/t", 2)
			pub := connect(t, b, version, "pub", true)
			pub.publish(1, "t", 1, "a")
			pub.publish(1, "t", 1, "b")
			pub.publish(1, "t", 2, "c") // sent to one: must not go to two
			one.expectPublish("a", 1, false)
			two.expectPublish("b", 1, false)
			one.expectPublish("c", 2, false)
			one.Close()
			if stay {
				mqtttest.Eventually(t, patience, func() bool { return b.Counts().EndedWithSession == 2 })
				two.sync()
				continue
			}
			two.expectPublish("a", 1, false)
			if c := b.Counts(); c.HandedOver != 1 || c.EndedWithSession != 1 {
				t.Errorf("%+v", c)
			}
		}
	})
}

// A member that is away and has a session gets messages only if nobody else is
// there.
func TestSharedGroupPrefersThoseConnected(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	away, here := connect(t, b, 5, "away", false), connect(t, b, 5, "here", true)
	away.subscribe("$share/g/t", 1)
	here.subscribe("$share/g/t", 1)
	away.goodbye()
	pub := connect(t, b, 5, "pub", true)
	for i := range 3 {
		pub.publish(1, "t", 1, fmt.Sprint(i))
		here.expectPublish(fmt.Sprint(i), 1, false)
		here.ack(mqtttest.TypePuback, uint16(i+1))
	}
	here.goodbye()
	pub.publish(1, "t", 1, "later")
	away, _ = resume(t, b, 5, "away")
	away.expectPublish("later", 1, false)
}

func TestWill(t *testing.T) {
	t.Parallel()
	withWill := func(version byte, delay byte) []byte {
		var properties, willProperties []byte
		if version == 5 {
			properties = []byte{5, 17, 0, 0, 0, 60}
			willProperties = []byte{5, 24, 0, 0, 0, delay}
		}
		return mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{version, 4 | 1<<3 | 0x20, 0, 30}, properties,
			mqtttest.StringField("mortal"), willProperties, mqtttest.StringField("will"), mqtttest.StringField("gone"))
	}
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		watch := connect(t, b, version, "watch", true)
		watch.subscribe("will", 1)
		mortal := func(delay byte) *peer {
			p := dial(t, b, version)
			p.Send(withWill(version, delay))
			p.Expect(mqtttest.TypeConnack)
			return p
		}
		mortal(0).goodbye() // no will
		mortal(0).Close()
		watch.expectPublish("gone", 1, false)
		if got := b.Retained(); !slices.Equal(got, []string{"will"}) {
			t.Errorf("retained %q", got)
		}
		if version == 4 {
			return
		}
		mortal(1).Close()
		watch.ExpectSilence(100 * time.Millisecond)
		watch.expectPublish("gone", 1, false)
		mortal(60).Close()
		back := mortal(60) // in time: no will
		watch.ExpectSilence(20 * time.Millisecond)
		back.Send(mqtttest.PacketOf(0xE0, []byte{4, 5, 17, 0, 0, 0, 0})) // the session ends with it
		watch.expectPublish("gone", 1, false)
	})
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := dial(t, b, 5)
	p.Send(mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{5, 2, 0, 1, 0}, mqtttest.StringField("c")))
	p.Expect(mqtttest.TypeConnack)
	began := time.Now()
	p.expectDisconnect(0x8D)
	if took := time.Since(began); took < 1400*time.Millisecond {
		t.Errorf("closed after %v", took)
	}
}
