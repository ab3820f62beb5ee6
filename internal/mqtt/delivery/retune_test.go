package delivery

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd runs tasks of one origin, each with a key of its own, until they are released.
type crowd struct {
	sched   *Scheduler
	release chan struct{}
}

func newCrowd(t *testing.T, workers int) *crowd {
	t.Helper()
	s := newScheduler(t, SchedulerOptions{Workers: workers, MaxCount: 100})
	t.Cleanup(func() { drain(t, s) })
	return &crowd{s, make(chan struct{})}
}

func (c *crowd) send(l *Lane, names ...string) {
	for _, name := range names {
		c.sched.Submit(Item{Task: taskFunc(func(context.Context) { <-c.release }), Lane: l, Key: c.sched.Key(name), Origin: 1, Shares: true})
	}
	synctest.Wait()
}

func (c *crowd) want(t *testing.T, running int) {
	t.Helper()
	synctest.Wait()
	if n := c.sched.Stats().Running; n != running {
		t.Errorf("%d tasks run, want %d", n, running)
	}
}

// A new limit of a lane or of the whole scheduler applies at once to what waits, and
// nothing that waited for the share of its origin is forgotten.
func TestResize(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 16)
		l := c.sched.NewLane(2)
		c.send(l, many(12)...)
		c.want(t, 1) // one origin leaves a worker to others
		l.Resize(8)
		c.want(t, 7)
		l.Resize(0)
		c.want(t, 12)
		close(c.release)
		c.want(t, 0)
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 2)
		l := c.sched.NewLane(0)
		c.send(l, many(12)...)
		c.want(t, 1)
		c.sched.Resize(1) // without shares
		close(c.release)
		c.want(t, 0)
		if s := c.sched.Stats(); s.Queued != 0 {
			t.Errorf("%d tasks are forgotten", s.Queued)
		}
	})
}

// A scheduler may be resized while connections ask for room and wait for it.
func TestResizeBesideArrivals(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{Workers: 2})
	var all sync.WaitGroup
	all.Go(func() {
		for n := range 1000 {
			s.Resize(1 + n%8)
		}
	})
	for _, ask := range []func(){
		func() { s.Shared() }, func() { s.Over(1, 10) }, func() { s.Room(false) },
		func() { s.AwaitRoom(1, func() {}) }, func() { s.AwaitHalf(1, func() {}) },
	} {
		all.Go(func() {
			for range 1000 {
				ask()
			}
		})
	}
	all.Wait()
}

// Retune changes an open breaker: with 0 failures it closes at once, and what waited is
// handled.
func TestRetuneBreaker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, nil)
		defer drain(t, r.sched)
		r.set(func() { r.down = true })
		r.send(many(6)...)
		wait(time.Second)
		if p := r.breaker.Status().Phase; p != Open {
			t.Fatalf("phase %v, want open", p)
		}
		r.set(func() { r.down = false })
		if err := r.breaker.Retune(BreakerOptions{Failures: -1}); err == nil {
			t.Error("-1 failures are accepted")
		}
		if err := r.breaker.Retune(BreakerOptions{}); err != nil {
			t.Error(err)
		}
		wait(10 * time.Second)
		if s := r.breaker.Status(); !s.Passing() || s.Failures != 0 || s.Err != nil {
			t.Errorf("%+v, want closed", s)
		}
		if n := r.count(&r.handled); n != 6 {
			t.Errorf("%d messages handled, want 6", n)
		}
	})
}
