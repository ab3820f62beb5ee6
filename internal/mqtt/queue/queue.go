// Package queue implements a queue whose goroutine runs only while the queue is
// not empty.
package queue

import (
	"context"
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

// run owns the goroutine.
func (q *Queue[T]) run(idle chan<- struct{}) {
	defer close(idle)
	for batch := q.take(); len(batch) > 0; batch = q.take() {
		q.work(batch)
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
