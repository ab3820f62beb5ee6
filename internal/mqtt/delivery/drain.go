package delivery

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// DrainError describes what was unfinished when the context of
// [Scheduler.Drain] ended or [Scheduler.Close] was called. None of it was
// acknowledged, so a broker that keeps the session delivers the QoS 1 and 2
// messages again.
type DrainError struct {
	// Dropped is the number of items that were not finished and are not run any
	// more.
	Dropped int
	// Running is the number of tasks that ignore their cancelled context; each
	// keeps one goroutine until it returns.
	Running int
	// Err is the cause of the context's end, or would be if the drain ended
	// early, or ErrClosed.
	Err error
}

// errLate is the cause of a drain that ended before its deadline.
var errLate = fmt.Errorf("the next attempt is after the deadline: %w", context.DeadlineExceeded)

// Error implements error.
func (e *DrainError) Error() string {
	return fmt.Sprintf("%d not handled, %d still running: %v", e.Dropped, e.Running, e.Err)
}

// Unwrap returns Err.
func (e *DrainError) Unwrap() error { return e.Err }

// Drain refuses new items, waits until all accepted ones are finished,
// including those that wait to be run again, and ends the workers. If ctx ends
// first, Drain cancels the running tasks, drops the rest, and waits up to Grace
// for the running ones to return. It ends early if everything that is left
// waits to be run again after the deadline of ctx, or is stopped by a breaker,
// which has to be frozen. The result is nil if every
// accepted item was finished, and otherwise a [*DrainError].
func (s *Scheduler) Drain(ctx context.Context) error {
	until, _ := ctx.Deadline()
	s.refuse(until)
	var cause error
	select {
	case <-s.drained:
	case <-s.gone:
	case <-s.late:
		cause = errLate
	case <-ctx.Done():
		cause = context.Cause(ctx)
	}
	s.stop()
	s.await(s.opts.Grace)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped == 0 && s.running == 0 {
		return nil
	}
	if cause == nil {
		cause = ErrClosed
	}
	return &DrainError{Dropped: s.dropped, Running: s.running, Err: cause}
}

// Close refuses new items, cancels the running tasks, drops the rest and waits
// for the workers. A task that ignores its context delays it, see Drain. Close
// may be called more than once.
func (s *Scheduler) Close() {
	s.refuse(time.Time{})
	s.stop()
	<-s.gone
}

func (s *Scheduler) refuse(until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return
	}
	s.draining, s.until = true, until
	if s.count == 0 {
		close(s.drained)
		return
	}
	s.giveUp()
}

// giveUp ends a drain early if everything that is left is paused beyond its
// deadline, waits behind such a message, or is stopped by a breaker. The remaining time is then
// available to later steps of the shutdown, such as an outbox. The mutex must
// be held.
func (s *Scheduler) giveUp() {
	if !s.draining || s.tooLate || s.count == 0 || s.running > 0 || s.lanes.Len() > 0 {
		return
	}
	for q := range s.paused {
		if !q.lane.breaker.stands() && (s.until.IsZero() || q.due.Before(s.until)) {
			return
		}
	}
	s.tooLate = true
	close(s.late)
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
	s.paused, s.spare, s.lanes, s.shares, s.awaited = nil, nil, queue.Ring[*Lane]{}, shares{}, nil
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
