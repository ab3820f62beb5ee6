package delivery

import (
	"context"
	"fmt"
	"time"
)

// DrainError says what was left when the context of [Scheduler.Drain] ended, or
// [Scheduler.Close] was called.
// Nothing of it was acknowledged, so a broker that keeps the session delivers
// those QoS 1 and 2 messages again.
type DrainError struct {
	// Dropped is how many items were not finished and are not run any more.
	Dropped int
	// Running is how many tasks ignore their cancelled context; each keeps one
	// goroutine until it returns.
	Running int
	// Err is the cause the context ended with, or ErrClosed.
	Err error
}

// Error implements error.
func (e *DrainError) Error() string {
	return fmt.Sprintf("delivery: drain ended early, %d dropped, %d still running: %v", e.Dropped, e.Running, e.Err)
}

// Unwrap returns Err.
func (e *DrainError) Unwrap() error { return e.Err }

// Drain refuses new items and waits until all accepted ones, also those that
// wait to be run again, are finished; then the workers end. When ctx ends
// first, running tasks are cancelled, the rest is dropped, and Drain waits up
// to Grace more for the running ones to return. The result is nil when every
// accepted item was finished, else a [*DrainError].
func (s *Scheduler) Drain(ctx context.Context) error {
	s.refuse()
	select {
	case <-s.drained:
	case <-s.gone:
	case <-ctx.Done():
	}
	s.stop()
	s.await(s.opts.Grace)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped == 0 && s.running == 0 {
		return nil
	}
	cause := context.Cause(ctx)
	if cause == nil {
		cause = ErrClosed
	}
	return &DrainError{Dropped: s.dropped, Running: s.running, Err: cause}
}

// Close refuses new items, cancels the running tasks, drops the rest and waits
// for the workers: a task that ignores its context holds it up, see Drain.
// Closing twice is allowed.
func (s *Scheduler) Close() {
	s.refuse()
	s.stop()
	<-s.gone
}

func (s *Scheduler) refuse() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining = true
	if s.count == 0 {
		close(s.drained)
	}
}

// stop cancels the running tasks and drops the others.
func (s *Scheduler) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	s.stopped = true
	s.cancel()
	s.pace.stop()
	for q := range s.paused {
		q.timer.Stop()
	}
	s.paused, s.spare, s.lanes, s.awaited = nil, nil, ring[*Lane]{}, nil
	s.dropped = s.count - s.running
	s.count, s.bytes = s.running, 0
	for _, w := range s.idle {
		w.signal()
	}
	s.idle = nil
	if s.workers == 0 {
		close(s.gone)
	}
}

func (s *Scheduler) await(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.gone:
	case <-timer.C:
	}
}
