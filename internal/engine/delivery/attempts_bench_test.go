package delivery

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

type benchMessage struct{ payload []byte }

// BenchmarkReceive is the whole way of a QoS 1 message through this package:
// ledger, scheduler, one attempt, acknowledgement.
func BenchmarkReceive(b *testing.B) {
	for _, workers := range []int{1, 4, 12} {
		for _, observed := range []bool{false, true} {
			b.Run(fmt.Sprintf("workers=%d/observed=%v", workers, observed), func(b *testing.B) {
				b.ReportAllocs()
				var all sync.WaitGroup
				all.Add(b.N)
				l := NewLedger(false, func(acks []Ack) { all.Add(-len(acks)) })
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
				items := make([]Item, 0, 64)
				for i := range b.N {
					task := a.Deliver(msg, l.Add(uint16(i), 1))
					items = append(items, Item{Task: task, Key: uint64(i%64) + 1, Size: 256, Must: true})
					if len(items) == cap(items) || i == b.N-1 {
						s.Submit(items...)
						items = items[:0]
					}
				}
				all.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			})
		}
	}
}

// BenchmarkAttemptContext compares with a standard context, which is what a
// handler that asks for Done pays on top.
func BenchmarkAttemptContext(b *testing.B) {
	parent, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.Run("untouched", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			c := new(attemptContext)
			c.begin(parent, time.Now().Add(time.Minute))
			c.end()
		}
	})
	b.Run("done", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			c := new(attemptContext)
			c.begin(parent, time.Now().Add(time.Minute))
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
