package bridge

import (
	"context"
	"sync"
)

// line works off what is put in line, as much at a time as there is, on a
// goroutine that lives while there is any.
type line[T any] struct {
	work func([]T)

	mu    sync.Mutex
	queue []T
	idle  chan struct{} // closed when the goroutine ends; nil without one
}

func (l *line[T]) add(v ...T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.queue = append(l.queue, v...); l.idle == nil && len(l.queue) > 0 {
		l.idle = make(chan struct{})
		go l.run(l.idle)
	}
}

func (l *line[T]) run(idle chan<- struct{}) {
	defer close(idle)
	for batch := l.take(); len(batch) > 0; batch = l.take() {
		l.work(batch)
	}
}

func (l *line[T]) take() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	batch := l.queue
	if l.queue = nil; len(batch) == 0 {
		l.idle = nil
	}
	return batch
}

// busy reports whether there is anybody in line.
func (l *line[T]) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.idle != nil
}

// wait returns when nobody is in line, or ctx ends.
func (l *line[T]) wait(ctx context.Context) {
	l.mu.Lock()
	idle := l.idle
	l.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
