package delivery

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// T24: a drain waits for running handlers, for queued items and for paused
// ones.
func TestT24DrainWaitsForEverything(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 2})
		var done atomic.Int64
		task := func() Task {
			runs := 0
			return againFunc(func(context.Context) (time.Duration, bool) {
				time.Sleep(1500 * time.Millisecond)
				if runs++; runs < 2 {
					return time.Second, false
				}
				done.Add(1)
				return 0, true
			})
		}
		for i := range 10 {
			s.Submit(Item{Key: uint64(i%3) + 1, Task: task()})
		}
		drain(t, s)
		if n := done.Load(); n != 10 {
			t.Errorf("%d of 10 finished", n)
		}
		if n := s.Submit(Item{Task: task(), Must: true}); n != 0 {
			t.Error("accepted after drain")
		}
		if got := s.Stats(); got != (Stats{}) {
			t.Errorf("Stats = %+v", got)
		}
	})
}

// T31: a blocked handler is cancelled when the drain's time is up, and no
// goroutine is left after it: the bubble does not end before every goroutine
// has.
func TestT31DrainWithABlockedHandlerLeavesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 20})
		for range 20 {
			s.Submit(Item{Task: taskFunc(func(ctx context.Context) { <-ctx.Done() })})
		}
		again := againFunc(func(context.Context) (time.Duration, bool) { return time.Hour, false })
		s.Submit(Item{Key: 7, Task: again}, Item{Key: 7, Task: again})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := s.Drain(ctx)
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v", took)
		}
		var left *DrainError
		if !errors.As(err, &left) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("err = %v", err)
		}
		if want := "2 not handled, 0 still running: context deadline exceeded"; err.Error() != want {
			t.Errorf("err = %q, want %q", err, want)
		}
		// The 20 finished when they were cancelled, the other two did not.
		if left.Dropped != 2 || left.Running != 0 {
			t.Errorf("left = %+v", left)
		}
		if got := s.Stats(); got != (Stats{}) {
			t.Errorf("Stats = %+v", got)
		}
	})
}

// A drain does not wait for an item that is due after its end, because the rest
// of the shutdown needs the time. An item that is due earlier is run once more.
func TestDrainEndsWhenTheRestIsDueLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 2})
		runs := 0
		blocked := againFunc(func(context.Context) (time.Duration, bool) {
			runs++
			return time.Duration(runs) * 2 * time.Second, false
		})
		s.Submit(Item{Key: 7, Task: blocked}, Item{Key: 7, Task: taskFunc(func(context.Context) { t.Error("overtook") })})
		s.Submit(Item{Key: 8, Task: taskFunc(func(context.Context) { time.Sleep(3 * time.Second) })})
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		err := s.Drain(ctx) // the second run is after 2 s and the next would be after 6 s, the other task ends after 3 s
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("took %v", took)
		}
		var left *DrainError
		if !errors.As(err, &left) || !errors.Is(err, context.DeadlineExceeded) || left.Dropped != 2 || left.Running != 0 || runs != 2 {
			t.Errorf("%v after %d runs", err, runs)
		}
	})
}

func TestDrainReportsAHandlerThatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 1, Grace: 3 * time.Second})
		gate := make(chan struct{})
		task := taskFunc(func(context.Context) { <-gate })
		s.Submit(Item{Task: task}, Item{Task: task})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		err := s.Drain(ctx)
		if took := time.Since(start); took != 4*time.Second {
			t.Errorf("took %v", took)
		}
		var left *DrainError
		if !errors.As(err, &left) || left.Dropped != 1 || left.Running != 1 {
			t.Fatalf("err = %v", err)
		}
		if got := s.Stats(); got.Running != 1 || got.Workers != 1 || got.Queued != 0 {
			t.Errorf("Stats = %+v", got)
		}
		close(gate)
		s.Close()
	})
}

func TestCloseCancelsAndDrops(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 2})
		var ran atomic.Int64
		for range 10 {
			s.Submit(Item{Task: taskFunc(func(ctx context.Context) { ran.Add(1); <-ctx.Done() })})
		}
		synctest.Wait()
		s.Close()
		s.Close()
		if n := ran.Load(); n != 2 {
			t.Errorf("%d ran, want 2", n)
		}
		var left *DrainError
		if err := s.Drain(t.Context()); !errors.As(err, &left) || left.Dropped != 8 || !errors.Is(err, ErrClosed) {
			t.Errorf("Drain after Close = %v", err)
		}
	})
}

func TestDrainAndCloseOfAnUnusedScheduler(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{})
	drain(t, s)
	drain(t, s)
	s.Close()
}
