// Package queue has the one queue of the library whose goroutine lives while there is
// something in it.
package queue

import (
	"context"
	"sync"
	"time"
)

// Queue works off what is added to it, in order and as much at a time as there is, on a
// goroutine that lives while there is any. It has no bound of its own. It is safe for
// concurrent use.
type Queue[T any] struct {
	work func([]T)

	mu      sync.Mutex
	waiting []T
	idle    chan struct{} // closed when the goroutine ends; nil without one
}

// New returns a queue that calls work, which may add to it, from one goroutine.
func New[T any](work func([]T)) *Queue[T] { return &Queue[T]{work: work} }

// Add adds values behind those that are there. It does not wait.
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

// Busy reports whether there is anything to work off, or under way.
func (q *Queue[T]) Busy() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.idle != nil
}

// Wait returns when everything is worked off, or so long after the end of ctx.
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
