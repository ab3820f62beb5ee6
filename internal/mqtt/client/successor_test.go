package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// parks is a subscription whose messages are parked after one attempt.
func parks(filter string, h Handler) *Subscription {
	s := on(filter, h)
	s.MaxAttempts, s.Backoff, s.MaxBackoff = 1, time.Millisecond, 50*time.Millisecond
	park(s)
	return s
}

func down(context.Context, *Delivery) error { return errors.New("down") }

// When a handler is replaced, the new one being registered first as documented, its parked
// messages are handled by the successor and do not wait until they expire.
func TestReplacedHandlerLeavesNothingParked(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	store := deadletter.NewMemory(0)
	old := parks("work", down)
	c := running(t, client(t, b.URL(), keepIn(store)), old)
	publish(t, c, "work", 1, "1", "2")
	eventually(t, func() bool { return c.Health().Parked == 2 })
	var got [3]seen
	var mended atomic.Bool
	for i := range got { // each is the successor of the one before
		s := parks("work", func(_ context.Context, d *Delivery) error {
			if i < 2 || !mended.Load() {
				return errors.New("down, too")
			}
			got[i].add("%s", d.Payload)
			return nil
		})
		if _, err := c.Subscribe(within(t, patience), s); err != nil {
			t.Fatal(err)
		}
		if err := c.Unsubscribe(within(t, patience), old); err != nil {
			t.Fatal(err)
		}
		if h := c.Health(); h.Parked != 2 || h.ParkedKeys != 1 {
			t.Fatalf("after %d replacements %d are parked, %d keys held", i+1, h.Parked, h.ParkedKeys)
		}
		old = s
	}
	mended.Store(true)
	publish(t, c, "work", 1, "3")
	if all := got[2].wait(t, 3); !slices.Equal(all, []string{"1", "2", "3"}) {
		t.Errorf("handled %v", all)
	}
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{}) })
}

// Messages that the second of two handlers has parked are handled by the first one if the
// next version has only that.
func TestFewerHandlersLeaveNothingParked(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	store := deadletter.NewMemory(0)
	c := running(t, client(t, b.URL(), keepIn(store)), parks("work", ignore), parks("work", ignore), parks("work", down))
	publish(t, c, "work", 1, "1", "2")
	eventually(t, func() bool { return c.Health().Parked == 2 })
	if err := c.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	var got seen
	running(t, client(t, b.URL(), keepIn(store)), parks("work", func(_ context.Context, d *Delivery) error {
		got.add("%s", d.Payload)
		return nil
	}))
	if all := got.wait(t, 2); !slices.Equal(all, []string{"1", "2"}) {
		t.Errorf("handled %v", all)
	}
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{}) })
}

// Messages that are taken over at a restart and then by a successor are parked once,
// however many they are.
func TestSuccessorOfASuccessorParksOnce(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	store := deadletter.NewMemory(0)
	c := running(t, client(t, b.URL(), keepIn(store)), parks("work", ignore), parks("work", ignore), parks("work", down))
	publish(t, c, "work", 1, "1", "2", "3")
	eventually(t, func() bool { return c.Health().Parked == 3 })
	if err := c.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	old := parks("work", down)
	c = running(t, client(t, b.URL(), keepIn(store)), old)
	eventually(t, func() bool { return c.Health().Parked == 3 })
	if _, err := c.Subscribe(within(t, patience), parks("work", down)); err != nil {
		t.Fatal(err)
	}
	if err := c.Unsubscribe(within(t, patience), old); err != nil {
		t.Fatal(err)
	}
	if h := c.Health(); h.Parked != 3 || h.ParkedKeys != 1 {
		t.Errorf("%d are parked, %d keys held, want 3 and 1", h.Parked, h.ParkedKeys)
	}
}

// A message without its payload, because it exceeds the limit, is not parked behind another
// one: handled later, it would look like an empty message.
func TestMessageThatIsNotWholeIsNotParked(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.InProcess(t)
		store := deadletter.NewMemory(0)
		large := func(c *Config) { c.MaxPayload = 1 << 20 }
		var got seen
		var mended atomic.Bool
		c := running(t, client(t, b.URL(), version, keepIn(store)), parks("work", func(_ context.Context, d *Delivery) error {
			switch {
			case d.Oversize() > 0:
				return errors.New("over the limit")
			case !mended.Load():
				return errors.New("down")
			}
			got.add("%s", d.Payload)
			return nil
		}))
		source := running(t, client(t, b.URL(), version, large, func(c *Config) { c.ClientID = "source" }))
		publish(t, source, "work", 1, "1")
		eventually(t, func() bool { return c.Health().Parked == 1 })
		publish(t, source, "work", 1, strings.Repeat("x", 1<<20), "3")
		eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{Dead: 1, Parked: 2}) })
		mended.Store(true)
		if all := got.wait(t, 2); !slices.Equal(all, []string{"1", "3"}) {
			t.Errorf("handled %q", all)
		}
		eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{Dead: 1}) })
		list, err := store.List(t.Context(), deadletter.Query{})
		if err != nil || len(list) != 1 || list[0].Omitted.Size != 1<<20 || list[0].Reason != "over the limit" {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// Such a message that an earlier version has parked becomes a dead letter and does not stop
// others.
func TestParkedLetterThatIsNotWhole(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	for i, id := range []string{"1", "2"} {
		l := &deadletter.Letter{ID: id, State: deadletter.Parked, Owner: idOf(t), Filter: "work", Key: "work", Received: time.Now(), Reason: "down"}
		l.Topic, l.Omitted.Size = "work", int64(1-i)
		if err := store.Put(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	var got seen
	running(t, client(t, mqtttest.InProcess(t).URL(), keepIn(store)), parks("work", func(_ context.Context, d *Delivery) error {
		got.add("%q", d.Payload)
		return nil
	}))
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{Dead: 1}) })
	if all := got.all(); !slices.Equal(all, []string{`""`}) {
		t.Errorf("handled %v", all)
	}
	if l, err := store.Get(t.Context(), "1"); err != nil || l.State != deadletter.Dead || !strings.Contains(l.Reason, "not whole") {
		t.Errorf("%+v, %v", l, err)
	}
}
