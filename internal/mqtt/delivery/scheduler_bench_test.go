package delivery

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// countdown is a trivial task that signals when the last one ran.
type countdown struct {
	left atomic.Int64
	zero chan struct{}
}

func newCountdown(n int) *countdown {
	c := &countdown{zero: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *countdown) Run(context.Context) (time.Duration, bool) {
	if c.left.Add(-1) == 0 {
		close(c.zero)
	}
	return 0, true
}

// sleeper is a task that waits, like one that queries a database.
type sleeper struct {
	countdown
	d time.Duration
}

func (s *sleeper) Run(ctx context.Context) (time.Duration, bool) {
	time.Sleep(s.d)
	return s.countdown.Run(ctx)
}

func submitAll(s *Scheduler, task Task, n, batch, keys int) {
	items := make([]Item, 0, batch)
	for i := range n {
		items = append(items, Item{Task: task, Key: uint64(i%keys) + 1, Size: 256, Must: true})
		if len(items) == batch || i == n-1 {
			s.Submit(items...)
			items = items[:0]
		}
	}
}

// BenchmarkScheduler submits trivial tasks from one goroutine in batches of 64.
func BenchmarkScheduler(b *testing.B) {
	for _, workers := range []int{1, 4, 12} {
		for _, keys := range []int{1, 64, 4096} {
			b.Run(fmt.Sprintf("workers=%d/keys=%d", workers, keys), func(b *testing.B) {
				b.ReportAllocs()
				s, err := NewScheduler(b.Context(), SchedulerOptions{Workers: workers})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				task := newCountdown(b.N)
				submitAll(s, task, b.N, 64, keys)
				<-task.zero
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
			})
		}
	}
}

// BenchmarkSchedulerSleeping measures how handlers of 0.83 ms overlap.
func BenchmarkSchedulerSleeping(b *testing.B) {
	for _, workers := range []int{1, 4, 12} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			s, err := NewScheduler(b.Context(), SchedulerOptions{Workers: workers})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			task := &sleeper{d: 830 * time.Microsecond}
			task.zero = make(chan struct{})
			task.left.Store(int64(b.N))
			submitAll(s, task, b.N, 64, 64)
			<-task.zero
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

// BenchmarkSchedulerOrigins is the same with shares of the workers.
func BenchmarkSchedulerOrigins(b *testing.B) {
	for _, keys := range []int{1, 64, 4096} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			b.ReportAllocs()
			s, err := NewScheduler(b.Context(), SchedulerOptions{Workers: 12})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			task := newCountdown(b.N)
			items := make([]Item, 0, 64)
			for i := range b.N {
				key := uint64(i%keys) + 1
				items = append(items, Item{Task: task, Key: key, Origin: key, Shares: true, Size: 256, Must: true})
				if len(items) == cap(items) || i == b.N-1 {
					s.Submit(items...)
					items = items[:0]
				}
			}
			<-task.zero
		})
	}
}
