package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func TestQueueIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t, broker.MaxQueuedBytes(1000))
		sub := connect(t, b, version, "sub", false)
		sub.subscribe("t", 1)
		sub.goodbye()
		pub := connect(t, b, version, "pub", true)
		pub.publish(1, "t", 1, strings.Repeat("x", 1500)) // alone it may exceed the bound
		pub.publish(2, "t", 1, "y")
		sub, _ = resume(t, b, version, "sub")
		m := sub.Expect(broker.Publish)
		sub.ack(broker.Puback, m.ID())
		sub.sync()
		sub.goodbye()
		for i := range 3 {
			pub.publish(uint16(i+3), "t", 1, strings.Repeat("z", 400))
		}
		if c, s := b.Counts(), b.Stats(); c.QueueFull != 2 || c.Dropped() != 2 || s.Queued != 2 || s.QueuedBytes != 802 {
			t.Errorf("%+v, %+v", c, s)
		}
	})
}

func TestRetainedAreBounded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t, broker.MaxRetained(2, 1000))
		pub := connect(t, b, version, "pub", true)
		live := connect(t, b, version, "live", true)
		live.subscribe("#", 0)
		retain := func(id uint16, topic, payload string, fits bool) {
			t.Helper()
			p := mqtttest.PublishPacket(version, id, topic, 1, payload)
			p[0] |= 1
			pub.Send(p)
			if version == 5 && !fits {
				pub.expectCode(broker.Puback, id, 0x97)
				return
			}
			pub.expectAck(broker.Puback, id)
			live.expectPublish(payload, 0, false)
		}
		retain(1, "a", "x", true)
		retain(2, "b", "x", true)
		retain(3, "c", "x", false)
		retain(4, "a", strings.Repeat("x", 900), true) // the topic is there already
		retain(5, "b", strings.Repeat("x", 900), false)
		retain(6, "b", "", true)
		retain(7, "c", "x", true)
		if got := b.Retained(); !slices.Equal(got, []string{"a", "c"}) {
			t.Errorf("retained %q", got)
		}
		if c, s := b.Counts(), b.Stats(); s.RetainedBytes != 903 || (c.RetainedFull == 2) != (version == 4) {
			t.Errorf("%+v, %+v", c, s)
		}
		live.sync()
	})
}

func TestSessionsAndSubscriptionsAreBounded(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t, broker.MaxSessions(2), broker.MaxSubscriptions(2))
		one := connect(t, b, version, "one", false)
		connect(t, b, version, "two", false).goodbye()
		three := dial(t, b, version)
		three.Send(mqtttest.ConnectPacket(version, "three", true))
		want, refused := byte(3), byte(0x80)
		if version == 5 {
			want, refused = 0x97, 0x97
		}
		if got := three.Expect(broker.Connack).Body[1]; got != want {
			t.Errorf("third session: %#x, want %#x", got, want)
		}
		if _, present := resume(t, b, version, "two"); !present {
			t.Error("a session that is there is refused")
		}
		for i, filter := range []string{"a", "b", "a", "c"} {
			one.Send(mqtttest.SubscribePacket(version, uint16(i+1), filter, 1))
			ack := one.Expect(broker.Suback)
			if got := ack.Body[len(ack.Body)-1]; (got == refused) != (filter == "c") {
				t.Errorf("filter %s: %#x", filter, got)
			}
		}
		if got := b.Sessions()[0].Filters; fmt.Sprint(got) != "[a b]" {
			t.Errorf("filters %q", got)
		}
	})
}

// Filters that overlap, or come many times in one packet, ask for far more retained
// messages than there are: that takes time, but not the time of others.
func TestRetainedMessagesForManyFiltersHoldUpNobody(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	pub := connect(t, b, 4, "pub", true)
	for i := range 2000 {
		p := mqtttest.PublishPacket(4, 0, fmt.Sprintf("r/%d/a/b/c/d/e/f/g", i), 0, "x")
		p[0] |= 1
		pub.Send(p)
	}
	pub.sync()
	body := [][]byte{{0, 1}}
	for range 10_000 {
		body = append(body, mqtttest.StringField("#"), []byte{0})
	}
	for i := range 512 { // each matches all
		levels := strings.Split("r/+/a/b/c/d/e/f/g", "/")
		for level := range levels {
			if i>>level&1 == 1 {
				levels[level] = "+"
			}
		}
		body = append(body, mqtttest.StringField(strings.Join(levels, "/")), []byte{0})
	}
	many := stream(t, b, connectOf(4, 2, mqtttest.StringField("many")), mqtttest.PacketOf(0x82, body...))
	connected(t, many)
	began := time.Now()
	mqtttest.Eventually(t, time.Minute, func() bool { return b.Stats().Subscriptions > 0 }) // waits for others, too
	pub.publish(1, "x", 1, "y")
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("another client waited for %v", took)
	}
}

func TestExpiredRetainedMessagesMakeRoom(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, broker.MaxRetained(1, 1000))
	pub := connect(t, b, 5, "pub", true)
	pub.publish5(1, "a", "x", 1, 2, 0, 0, 0, 1)
	pub.Send(mqtttest.PacketOf(0x33, mqtttest.StringField("b"), []byte{0, 2, 0}, []byte("x")))
	pub.expectCode(mqtttest.TypePuback, 2, 0x97)
	<-time.After(1100 * time.Millisecond)
	pub.Send(mqtttest.PacketOf(0x33, mqtttest.StringField("b"), []byte{0, 3, 0}, []byte("x")))
	pub.expectCode(mqtttest.TypePuback, 3, 0x10)
}

// The memory of filters is limited in bytes: each level needs some.
func TestFiltersOfManyLevels(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		p := connect(t, b, version, "c", true)
		deep := strings.Repeat("/l", 190)
		granted := 0
		for ; granted < 1000; granted++ {
			p.Send(mqtttest.SubscribePacket(version, 1, fmt.Sprint(granted, deep, "/#"), 1))
			body := p.Expect(mqtttest.TypeSuback).Body
			if body[len(body)-1] >= 0x80 {
				break
			}
		}
		if granted < 100 || granted == 1000 {
			t.Errorf("%d filters of 190 levels were granted", granted)
		}
		p.subscribe("fine", 1) // there is room for small ones
	})
}
