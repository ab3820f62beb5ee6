// Package queue implements a queue whose goroutine runs only while the queue is
// not empty, and the list that queues with locks of their own are made of.
package queue

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Queue processes the values that are added to it, in order and in batches of
// all values that are waiting. Its goroutine runs only while there are values.
// It is not bounded. It is safe for concurrent use.
type Queue[T any] struct {
	work func([]T)

	mu      sync.Mutex
	waiting []T
	idle    chan struct{} // closed when the goroutine ends; nil if there is no goroutine
}

// New returns a queue that calls work from one goroutine. work may call Add.
func New[T any](work func([]T)) *Queue[T] { return &Queue[T]{work: work} }

// Add appends values to the queue. It does not wait.
func (q *Queue[T]) Add(v ...T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting = append(q.waiting, v...); q.idle == nil && len(q.waiting) > 0 {
		q.idle = make(chan struct{})
		go q.run(q.idle)
	}
}

// run owns the goroutine. If work ends it (runtime.Goexit), another one goes on.
func (q *Queue[T]) run(idle chan<- struct{}) {
	over := false
	defer func() {
		if !over {
			go q.run(idle)
			return
		}
		close(idle)
	}()
	for batch := q.take(); len(batch) > 0; batch = q.take() {
		q.work(batch)
	}
	over = true
}

// Each calls f with each value of a batch, for use by work. If f ends the goroutine
// (runtime.Goexit, as a failing test assertion does), the values behind are the next batch.
func (q *Queue[T]) Each(batch []T, f func(T)) {
	at := 0
	defer func() {
		if at < len(batch) {
			q.mu.Lock()
			defer q.mu.Unlock()
			q.waiting = append(slices.Clone(batch[at:]), q.waiting...)
		}
	}()
	for at < len(batch) {
		at++
		f(batch[at-1])
	}
}

func (q *Queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	batch := q.waiting
	if q.waiting = nil; len(batch) == 0 {
		q.idle = nil
	}
	return batch
}

// Busy reports whether values are waiting or being processed.
func (q *Queue[T]) Busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.idle != nil
}

// Wait waits until everything is processed, or until grace has passed after the
// end of ctx.
func (q *Queue[T]) Wait(ctx context.Context, grace time.Duration) {
	q.mu.Lock()
	idle := q.idle
	q.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	if grace <= 0 {
		return
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
	}
}
