package delivery

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Work that a handler leaves to another goroutine holds only the key and no
// worker, and the message is done after it.
func TestAwaitHoldsNoWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 1})
		var over atomic.Bool
		var j journal
		first, other, behind := new(Delivery[string]), new(Delivery[string]), new(Delivery[string])
		a := newAttempts(t, func(_ context.Context, msg string, _ int) error {
			j.add("%s", msg)
			if msg == "first" {
				first.Await(over.Load)
			}
			return nil
		}, Policy[string]{})
		done := [3]*doneCount{newDone(), newDone(), newDone()}
		for i, d := range []*Delivery[string]{first, other, behind} {
			a.Prepare(d, []string{"first", "other", "behind"}[i], &done[i].Entry)
			s.Submit(Item{Task: d, Key: []uint64{1, 2, 1}[i], Must: true})
		}
		time.Sleep(time.Minute)
		j.want(t, "first", "other")
		done[0].want(t, 0)
		done[1].want(t, 1)
		over.Store(true)
		time.Sleep(longestLook)
		synctest.Wait()
		j.want(t, "first", "other", "behind")
		for i := range done {
			done[i].want(t, 1)
		}
		drain(t, s)
	})
}

// A failed attempt leaves nothing to wait for.
func TestAwaitOfAFailedAttemptIsForgotten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 1})
		d, done := new(Delivery[string]), newDone()
		a := newAttempts(t, func(_ context.Context, _ string, attempt int) error {
			if attempt > 1 {
				return nil
			}
			d.Await(func() bool { return false })
			return errBoom
		}, Policy[string]{})
		a.Prepare(d, "m", &done.Entry)
		s.Submit(Item{Task: d, Key: 1, Must: true})
		drain(t, s)
		done.want(t, 1)
	})
}

// A message that waits when the scheduler is closed is not done.
func TestAwaitEndsWithTheScheduler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 1})
		d, done := new(Delivery[string]), newDone()
		a := newAttempts(t, func(context.Context, string, int) error {
			d.Await(func() bool { return false })
			return nil
		}, Policy[string]{})
		a.Prepare(d, "m", &done.Entry)
		s.Submit(Item{Task: d, Key: 1, Must: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Drain(ctx); err == nil {
			t.Error("drained")
		}
		done.want(t, 0)
	})
}
