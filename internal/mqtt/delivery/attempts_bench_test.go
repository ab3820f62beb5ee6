package delivery

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

type benchMessage struct{ payload []byte }

// window limits the unacknowledged messages as a broker does.
type window struct {
	mu   sync.Mutex
	free sync.Cond
	left int
}

func newWindow(n int) *window {
	w := &window{left: n}
	w.free.L = &w.mu
	return w
}

func (w *window) take(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.left < n {
		w.free.Wait()
	}
	w.left -= n
}

func (w *window) give(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left += n
	w.free.Signal()
}

// BenchmarkReceive measures all of this package for a QoS 1 message: ledger,
// scheduler, one attempt, acknowledgement.
func BenchmarkReceive(b *testing.B) {
	for _, workers := range []int{1, 4, 12} {
		for _, observed := range []bool{false, true} {
			b.Run(fmt.Sprintf("workers=%d/observed=%v", workers, observed), func(b *testing.B) {
				benchmarkReceive(b, workers, observed)
			})
		}
	}
}

func benchmarkReceive(b *testing.B, workers int, observed bool) {
	const inFlight, batch, keys = 1024, 64, 64
	b.ReportAllocs()
	w := newWindow(inFlight)
	l := newPulled(false, func(acks []Ack) { w.give(len(acks)) })
	s := newScheduler(b, SchedulerOptions{Workers: workers})
	defer s.Close()
	policy := Policy[*benchMessage]{}
	if observed {
		policy.Observer = Observer[*benchMessage]{
			Attempted: func(*benchMessage, int, time.Duration, error) {},
			Overrun:   func(*benchMessage, int) {},
			Finished:  func(*benchMessage, Outcome) {},
		}
	}
	a, err := NewAttempts(func(context.Context, *benchMessage, int) error { return nil }, policy)
	if err != nil {
		b.Fatal(err)
	}
	msg := &benchMessage{payload: make([]byte, 256)}
	items := make([]Item, 0, batch)
	for i := range b.N {
		task := a.Deliver(msg, l.Add(uint16(i), 1))
		items = append(items, Item{Task: task, Key: uint64(i%keys) + 1, Size: 256, Must: true})
		if len(items) == batch || i == b.N-1 {
			w.take(len(items))
			s.Submit(items...)
			items = items[:0]
		}
	}
	w.take(inFlight)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkAttemptContext compares with a standard context, which a handler
// that calls Done pays for in addition.
func BenchmarkAttemptContext(b *testing.B) {
	parent, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.Run("untouched", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			c := new(attemptContext)
			c.begin(parent, now()+time.Minute)
			c.end()
		}
	})
	b.Run("done", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			c := new(attemptContext)
			c.begin(parent, now()+time.Minute)
			c.Done()
			c.end()
		}
	})
	b.Run("standard", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			c, stop := context.WithTimeout(parent, time.Minute)
			c.Done()
			stop()
		}
	})
}
