package client

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// slowPuts is a store whose Put is slow.
type slowPuts struct{ *deadletter.Memory }

func (s slowPuts) Put(ctx context.Context, l *deadletter.Letter) error {
	<-time.After(5 * time.Millisecond)
	return s.Memory.Put(ctx, l)
}

// replace registers a handler that accepts everything, and removes the old one.
func replace(t *testing.T, c *Client, old *Subscription) *seen {
	t.Helper()
	got := new(seen)
	s := parks(old.Filter, func(_ context.Context, d *Delivery) error { got.add("%s", d.Payload); return nil })
	if _, err := c.Subscribe(within(t, patience), s); err != nil {
		t.Fatal(err)
	}
	if err := c.Unsubscribe(within(t, patience), old); err != nil {
		t.Fatal(err)
	}
	return got
}

// Messages that a replaced handler parks later, behind those that it has parked before, are
// handled by its successor, too.
func TestReplacedHandlerParksWithItsSuccessor(t *testing.T) {
	t.Parallel()
	b, store := mqtttest.InProcess(t), deadletter.NewMemory(0)
	old := parks("work", down)
	c := running(t, client(t, b.URL(), keepIn(slowPuts{store})), old)
	var all []string
	for n := range 50 {
		all = append(all, string(rune('A'+n)))
	}
	publish(t, c, "work", 1, all...)
	eventually(t, func() bool { return c.Health().Parked >= 5 })
	got := replace(t, c, old).wait(t, len(all))
	slices.Sort(got) // arrivals of the one are no successors of arrivals of the other
	if got = slices.Compact(got); !slices.Equal(got, all) {
		t.Errorf("handled %v", got)
	}
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{}) })
}

// So is the message that it was handling when it was replaced, even if it had parked
// nothing before.
func TestReplacedHandlerParksItsLastMessage(t *testing.T) {
	t.Parallel()
	b, store := mqtttest.InProcess(t), deadletter.NewMemory(0)
	begun, let := make(chan struct{}), make(chan struct{})
	old := parks("work", func(context.Context, *Delivery) error {
		begun <- struct{}{}
		<-let
		return errors.New("down")
	})
	c := running(t, client(t, b.URL(), keepIn(store)), old)
	publish(t, c, "work", 1, "1")
	<-begun
	got := replace(t, c, old)
	close(let)
	if all := got.wait(t, 1); !slices.Equal(all, []string{"1"}) {
		t.Errorf("handled %v", all)
	}
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{}) })
}

// A message that the replaced handler is still handling is not handled by the successor at
// the same time, and later messages of its key wait for it.
func TestSuccessorWaitsForTheParkedMessageInHand(t *testing.T) {
	t.Parallel()
	b, store := mqtttest.InProcess(t), deadletter.NewMemory(0)
	var works atomic.Bool
	var got seen
	begun, let := make(chan bool, 10), make(chan bool)
	old := parks("work/+", func(_ context.Context, d *Delivery) error {
		if !works.Load() {
			return errors.New("down")
		}
		begun <- true
		<-let
		got.add("old %s", d.Payload)
		return nil
	})
	c := running(t, client(t, b.URL(), keepIn(store)), old)
	publish(t, c, "work/a", 1, "1", "2", "3")
	eventually(t, func() bool { return c.Health().Parked == 3 })
	works.Store(true)
	<-begun
	other := make(chan bool, 1)
	s := parks("work/+", func(_ context.Context, d *Delivery) error {
		if d.Topic == "work/b" {
			other <- true
			return nil
		}
		got.add("new %s", d.Payload)
		return nil
	})
	if _, err := c.Subscribe(within(t, patience), s); err != nil {
		t.Fatal(err)
	}
	if err := c.Unsubscribe(within(t, patience), old); err != nil {
		t.Fatal(err)
	}
	publish(t, c, "work/b", 1, "other keys go on")
	<-other
	close(let)
	if all := got.wait(t, 3); !slices.Equal(all, []string{"old 1", "new 2", "new 3"}) {
		t.Errorf("handled %v", all)
	}
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{}) })
}
