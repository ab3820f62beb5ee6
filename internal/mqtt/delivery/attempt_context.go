package delivery

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// attemptContext is the context of one attempt: it ends at the deadline, with
// its parent, or when the attempt is over. It is made for every message, so the
// timer and channel of a standard context are only made when somebody asks for
// Done. From then on that standard context answers, also to Value: this is how
// the context package finds it and derives from it without a goroutine.
type attemptContext struct {
	parent   context.Context
	deadline time.Time
	standard atomic.Pointer[standardContext]

	mu   sync.Mutex
	err  error // once reported it stays
	over bool
}

type standardContext struct {
	context.Context
	cancel context.CancelFunc
}

func (c *attemptContext) begin(parent context.Context, deadline time.Time) {
	if d, ok := parent.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	c.parent, c.deadline = parent, deadline
}

// end cancels what the attempt may have left behind.
func (c *attemptContext) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if s := c.standard.Load(); s != nil {
		s.cancel()
	}
}

// Deadline implements context.Context.
func (c *attemptContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done implements context.Context.
func (c *attemptContext) Done() <-chan struct{} {
	if s := c.standard.Load(); s != nil {
		return s.Done()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.standard.Load()
	if s == nil {
		s = &standardContext{}
		s.Context, s.cancel = context.WithDeadline(c.parent, c.deadline)
		if c.over {
			s.cancel()
		}
		c.standard.Store(s)
	}
	return s.Done()
}

// Err implements context.Context.
func (c *attemptContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = c.cause()
	}
	return c.err
}

func (c *attemptContext) cause() error {
	if s := c.standard.Load(); s != nil {
		return s.Err()
	}
	if c.over {
		return context.Canceled
	}
	if err := c.parent.Err(); err != nil {
		return err
	}
	if !time.Now().Before(c.deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context.
func (c *attemptContext) Value(key any) any {
	if s := c.standard.Load(); s != nil {
		return s.Value(key)
	}
	return c.parent.Value(key)
}
