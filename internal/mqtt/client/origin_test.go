package client

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// An origin that was the only one for a second counts as alone until another one sends.
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

type resumer chan struct{}

func (r resumer) Resume() {
	select {
	case r <- struct{}{}:
	default:
	}
}

// After a QoS 0 message has waited for room without success, other QoS 0 messages do
// not wait for a while, even if small ones find room in between: reading does not stop
// for each of them.
func TestFailedWaitIsNotRepeated(t *testing.T) {
	t.Parallel()
	var got seen
	c := running(t, client(t, mqtttest.InProcess(t).URL(), func(c *Config) { c.QueueBytes = 1000 }),
		on("devices/+", func(_ context.Context, d *Delivery) error { got.add("%s", d.Topic); return nil }))
	i, again := c.run.Load().sub.intake, make(resumer, 1) // no message arrives beside this
	var held []delivery.Held
	for n := range 9 { // of as many origins, none of which has its share
		held = append(held, delivery.Held{Origin: uint64(n + 1), Size: 110})
	}
	i.at.sched.Hold(held...)
	large, small := &session.Inbound{Topic: "devices/large", Size: 100}, &session.Inbound{Topic: "devices/small", Size: 5}
	refused := func() {
		t.Helper()
		if i.Room(large, large.Size, false, again) {
			t.Fatal("room for a large message")
		}
	}
	refused()
	if i.Overflow(large, false) {
		t.Fatal("dropped without a wait")
	}
	refused()
	if !i.Overflow(large, true) {
		t.Fatal("not dropped after its wait")
	}
	for n := range 3 {
		if !i.Room(small, small.Size, false, again) {
			t.Fatal("no room for a small message")
		}
		m := i.New([]byte(small.Topic), 0, small.Size)
		m.Size = small.Size
		i.Deliver(m)
		i.Batch()
		got.wait(t, n+1)
		refused()
		if !i.Overflow(large, false) {
			t.Errorf("the large message after %d small ones waits again", n+1)
		}
	}
	i.lastFullWait = i.lastFullWait.Add(-fullWaitPause)
	refused()
	if i.Overflow(large, false) {
		t.Error("none waits any more")
	}
	i.at.sched.Release(held...)
	select {
	case <-again:
	case <-time.After(patience):
		t.Error("not resumed")
	}
}

// QoS 0 messages of one device for a handler that hangs use at most the device's share,
// whether they are handled singly, in batches or in an own session: messages of other
// devices are handled without waiting, and dropped messages are counted and named.
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
			url, session, sessions := mqtttest.InProcess(t).URL(), hangs.Session, int64(1)
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

// Messages of one topic whose keys differ use all workers, even if the queue is no larger
// than their number.
func TestOneTopicHasAllWorkers(t *testing.T) {
	t.Parallel()
	const workers = 16
	gate, begun := make(chan struct{}), make(chan struct{}, workers)
	jobs := &Subscription{Filter: "jobs", Timeout: time.Minute, Order: func(m *session.Inbound) string { return string(m.Payload) }, Handler: func(context.Context, *Delivery) error {
		begun <- struct{}{}
		<-gate
		return nil
	}}
	c := running(t, client(t, mqtttest.InProcess(t).URL(), func(c *Config) { c.Queue, c.Concurrency = workers, workers }), jobs)
	defer close(gate)
	for n := range workers {
		publish(t, c, "jobs", 0, fmt.Sprint(n))
	}
	deadline := time.After(patience)
	for n := range workers {
		select {
		case <-begun:
		case <-deadline:
			t.Fatalf("%d of %d are handled at the same time", n, workers)
		}
	}
}
