package request

import (
	"context"
	"errors"
	"sync"
	"time"
)

var errEnded = errors.New("the goroutine of the publish was ended")

// Sending is the publish of one request, and its context. It is safe for concurrent use.
type Sending struct {
	context.Context // the values of the request's
	deadline        time.Time
	outcome         chan error
	done            chan struct{}

	mu    sync.Mutex
	err   error       // why the context has ended
	timer *time.Timer // ends a publish that goes on after its reply
}

func newSending(ctx context.Context) *Sending {
	s := &Sending{Context: context.WithoutCancel(ctx), outcome: make(chan error, 1), done: make(chan struct{})}
	s.deadline, _ = ctx.Deadline()
	return s
}

// Outcome receives the outcome of the publish, once.
func (s *Sending) Outcome() <-chan error { return s.outcome }

// Release lets the publish go on for as long as a publish may take, although its request
// has ended.
func (s *Sending) Release(limit time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.timer = time.AfterFunc(limit, func() { s.End(context.DeadlineExceeded) })
	}
}

// End ends the context of the publish. Further calls do nothing.
func (s *Sending) End(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.done)
	}
}

// finish reports the outcome, and ends the context.
func (s *Sending) finish(err error) {
	s.End(context.Canceled)
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.outcome <- err
}

// Deadline implements [context.Context]. It is that of the request, also after Release.
func (s *Sending) Deadline() (time.Time, bool) { return s.deadline, !s.deadline.IsZero() }

// Done implements [context.Context].
func (s *Sending) Done() <-chan struct{} { return s.done }

// Err implements [context.Context].
func (s *Sending) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}
