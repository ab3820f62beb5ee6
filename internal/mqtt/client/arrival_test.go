package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// arriving records what arrives.
func arriving(to *seen) option {
	return func(c *Config) {
		c.Hooks.Arriving = func() bool { return true }
		c.Hooks.Arrived = func(i event.ArrivalInfo) { to.add("%s %s", i.Topic, i.Message.Payload) }
	}
}

// The messages of a batch are seen before its handler runs, and once, although some are tried
// again by themselves.
func TestArrivalsOfABatch(t *testing.T) {
	t.Parallel()
	var came, late, got seen
	s := on("b/+", func(_ context.Context, d *Delivery) error {
		got.add("%s", d.Topic)
		return nil
	})
	s.Batch = &Batch{MaxSize: 4, MaxWait: time.Hour, Handler: func(_ context.Context, ds []*Delivery, errs []error) error {
		for i, d := range ds {
			if line := fmt.Sprintf("%s %s", d.Topic, d.Payload); !slices.Contains(came.all(), line) {
				late.add("%s", line)
			}
			if i%2 > 0 {
				errs[i] = errors.New("by itself")
				continue
			}
			got.add("%s", d.Topic)
		}
		return nil
	}}
	c := running(t, client(t, mqtttest.InProcess(t).URL(), arriving(&came)), s)
	for i := range 4 {
		publish(t, c, fmt.Sprintf("b/%d", i), 1, "x")
	}
	got.wait(t, 4)
	list := came.all()
	slices.Sort(list)
	if want := []string{"b/0 x", "b/1 x", "b/2 x", "b/3 x"}; !slices.Equal(list, want) || len(late.all()) > 0 {
		t.Errorf("saw %v, want %v; too late: %v", list, want, late.all())
	}
}

// A message that is parked, and one that waits behind it without an attempt, are seen when they
// arrive and not again when they are handled.
func TestArrivalsOfParkedMessages(t *testing.T) {
	t.Parallel()
	var came, got seen
	var up atomic.Bool
	s := on("p", func(_ context.Context, d *Delivery) error {
		if !up.Load() {
			return errors.New("down")
		}
		got.add("%s", d.Payload)
		return nil
	})
	s.MaxAttempts, s.Backoff, s.MaxBackoff = 1, time.Millisecond, 10*time.Millisecond
	park(s)
	c := running(t, client(t, mqtttest.InProcess(t).URL(), keepIn(deadletter.NewMemory(0)), arriving(&came)), s)
	publish(t, c, "p", 1, "first", "behind")
	eventually(t, func() bool { return c.Health().Parked == 2 })
	up.Store(true)
	got.wait(t, 2)
	if list, want := came.all(), []string{"p first", "p behind"}; !slices.Equal(list, want) {
		t.Errorf("saw %v, want %v", list, want)
	}
}
