package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A store that can park does not change the policy: by default a failing message becomes a
// dead letter after its attempts, and no other message waits for it.
func TestDeadLetterIsTheDefault(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	var calls atomic.Int64
	var got seen
	s := on("orders", func(_ context.Context, d *Delivery) error {
		if string(d.Payload) == "bad" {
			calls.Add(1)
			return errors.New("no")
		}
		got.add("%s", d.Payload)
		return nil
	})
	s.MaxAttempts, s.Backoff = 2, time.Millisecond
	c := running(t, client(t, mqtttest.Mosquitto(t).URL(), keepIn(store)), s)
	publish(t, c, "orders", 1, "bad", "1", "2")
	got.wait(t, 2)
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{Dead: 1}) })
	if calls.Load() != 2 {
		t.Errorf("%d attempts, want 2", calls.Load())
	}
	if h := c.Health(); h.Parked != 0 || h.ParkedKeys != 0 {
		t.Errorf("%+v", h)
	}
}

// The maximum number of attempts also applies to parked messages, and their own maximum
// takes precedence.
func TestMaxAttemptsBindsParkedMessages(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ attempts, park, want int }{
		"max attempts":      {3, 0, 3},
		"own, more":         {1, 4, 4},
		"own, without time": {0, 5, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := deadletter.NewMemory(0)
			var calls atomic.Int64
			var got seen
			s := on("orders", func(_ context.Context, d *Delivery) error {
				if string(d.Payload) == "bad" {
					calls.Add(1)
					return errors.New("no")
				}
				got.add("%s", d.Payload)
				return nil
			})
			s.Exhausted, s.MaxAttempts, s.ParkMaxAttempts, s.Backoff = event.ExhaustedPark, tt.attempts, tt.park, time.Millisecond
			s.MaxBackoff, s.Budget = 5*time.Millisecond, 2*time.Millisecond
			c := running(t, client(t, mqtttest.Mosquitto(t).URL(), keepIn(store)), s)
			publish(t, c, "orders", 1, "bad", "behind")
			got.wait(t, 1)
			list, err := store.List(t.Context(), deadletter.Query{State: deadletter.Dead})
			if err != nil || len(list) != 1 || list[0].Attempts != tt.want || int(calls.Load()) != tt.want {
				t.Errorf("%d attempts, %d letters, %v; want %d attempts", calls.Load(), len(list), err, tt.want)
			}
		})
	}
}

// Messages that wait behind a parked message are reported in the log, by the hook and
// in Health: how many, since when and why.
func TestHeldKeyIsReported(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	s := on("orders/+", func(context.Context, *Delivery) error { return errors.New("the till is closed") })
	s.MaxAttempts, s.Backoff, s.MaxBackoff = 1, time.Millisecond, 5*time.Millisecond
	park(s)
	var log book
	told := make(chan event.ParkedKey, 1000)
	began := time.Now()
	c := running(t, client(t, mqtttest.Mosquitto(t).URL(), keepIn(store), logTo(&log), func(c *Config) {
		c.ParkReport = 20 * time.Millisecond
		c.Hooks.Held = func(h event.ParkedKey) {
			if h.Waiting == 3 {
				told <- h
			}
		}
	}), s)
	publish(t, c, "orders/1", 1, "bad", "a", "b", "c")
	publish(t, c, "orders/2", 1, "bad")
	check := func(h event.ParkedKey) {
		t.Helper()
		if h.Filter != "orders/+" || h.Key != "orders/1" || h.Waiting != 3 || h.LastError != "the till is closed" ||
			h.Since.Before(began) || h.Since.After(time.Now()) {
			t.Errorf("%+v", h)
		}
	}
	select {
	case h := <-told:
		check(h)
	case <-time.After(patience):
		t.Fatal("the hook was not told")
	}
	eventually(t, func() bool {
		return log.has("WARN", "orders/1", "wait behind a parked one", "count 3 ", "the till is closed")
	})
	eventually(t, func() bool { return len(c.Health().TopParkedKeys) == 2 })
	check(c.Health().TopParkedKeys[0])
}

// A service whose store is in the database of its handlers must not dead-letter messages
// that it could handle once the database is back.
func TestOutageOfTheStoreMakesNoDeadLetters(t *testing.T) {
	t.Parallel()
	store := &shaky{Memory: deadletter.NewMemory(0)}
	var down atomic.Bool
	var got seen
	s := on("work/+", func(_ context.Context, d *Delivery) error {
		if down.Load() {
			return errors.New("database is away")
		}
		got.add("%s", d.Payload)
		return nil
	})
	s.MaxAttempts, s.Backoff, s.MaxBackoff = 1, time.Millisecond, 5*time.Millisecond
	c := running(t, client(t, mqtttest.Mosquitto(t).URL(), keepIn(store)), s)
	down.Store(true)
	store.fail(errors.New("database is away"))
	for i := range 10 {
		publish(t, c, fmt.Sprint("work/", i), 1, fmt.Sprint(i))
	}
	eventually(t, func() bool { return c.Health().DeadLetterError != nil })
	down.Store(false) // before the store, so that the handler has its chance
	got.wait(t, 10)
	store.fail(nil)
	eventually(t, func() bool { return c.Health().DeadLetterError == nil })
	if st := statsOf(t, store); st != (deadletter.Stats{}) {
		t.Errorf("%+v", st)
	}
}
