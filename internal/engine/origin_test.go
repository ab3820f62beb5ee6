package engine

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Who comes alone for a second is alone, until another comes.
func TestAloneInASession(t *testing.T) {
	t.Parallel()
	var came arrivals
	now := time.Now()
	expect := func(want bool) {
		t.Helper()
		came.note(1)
		if got := came.alone(now); got != want {
			t.Errorf("alone %t, want %t", got, want)
		}
	}
	expect(true) // nobody was there ever
	came.note(2)
	expect(false)
	now = now.Add(aloneAfter)
	expect(false)
	now = now.Add(time.Millisecond)
	expect(true)
	came.note(2)
	came.note(2)
	expect(false)
}

// What one device sends at QoS 0 to a handler that hangs fills no more than its
// share, singly, in batches and in a session of its own: others of the session are
// handled, none of them waits, and what is dropped is counted and named.
func TestQueueIsShared(t *testing.T) {
	t.Parallel()
	const queue, flood, others = 64, 500, 20
	for name, set := range map[string]func(s *Subscription){
		"singly": func(*Subscription) {},
		"batches": func(s *Subscription) {
			h := s.Handler
			s.Batch = &Batch{MaxSize: 8, MaxWait: time.Millisecond, Handler: func(ctx context.Context, ds []*Delivery, _ []error) error {
				return h(ctx, ds[0])
			}}
		},
		"own session": func(s *Subscription) { s.Session = "own" },
		"moved":       func(s *Subscription) { s.Session = "own" }, // and still in the session of all others
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var handled atomic.Int64
			var log book
			gate := make(chan struct{})
			hangs := &Subscription{Filter: "devices/+/#", Timeout: time.Minute, Handler: func(context.Context, *Delivery) error {
				<-gate
				return nil
			}}
			set(hangs)
			url, session, sessions := mqtttest.Embedded(t).URL(), hangs.Session, int64(1)
			if name == "moved" {
				session, sessions = "", 2
				before := running(t, client(t, url), on("devices/+/#", func(context.Context, *Delivery) error { return nil }))
				if err := before.Stop(within(t, patience)); err != nil {
					t.Fatal(err)
				}
			}
			works := &Subscription{Filter: "others/+", Session: session, Handler: func(context.Context, *Delivery) error {
				handled.Add(1)
				return nil
			}}
			c := running(t, client(t, url, logTo(&log), func(c *Config) {
				c.Queue, c.Concurrency, c.KeepFilters = queue, 4, true
			}), hangs, works)
			defer close(gate)
			publish(t, c, "others/0", 0, "x") // the other is not alone
			for i := range flood {
				publish(t, c, "devices/7/data", 0, "x")
				if i%(flood/others) == 0 {
					publish(t, c, fmt.Sprintf("others/%d", i), 0, "x")
				}
			}
			eventually(t, func() bool { return handled.Load() == others+1 })
			eventually(t, func() bool { return c.Dropped() >= sessions*(flood-queue/2) })
			if n := c.Dropped(); n > sessions*(flood-queue/8) {
				t.Errorf("%d of %d dropped", n, sessions*flood)
			}
			if !log.has("devices/7/data", "share of the queue") {
				t.Errorf("not named: %v", log.all())
			}
		})
	}
}
