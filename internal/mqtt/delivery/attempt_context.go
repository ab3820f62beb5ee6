package delivery

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// epoch is the reference for the times of a delivery: a duration since epoch
// takes eight bytes, and only the monotonic clock is read.
var epoch = time.Now() //nolint:gochecknoglobals // never changes

// now returns the current time since epoch.
func now() time.Duration { return time.Since(epoch) }

// attemptContext is the context of one attempt. It ends at the deadline, with
// its parent, or when the attempt is over. Because it is created for every
// message, the timer and channel of a standard context are created only when
// Done is called. From then on that standard context answers all calls,
// including Value: this lets the context package recognise it and derive from
// it without a goroutine.
type attemptContext struct {
	parent   context.Context
	deadline time.Duration // since epoch
	standard atomic.Pointer[standardContext]
	over     atomic.Bool
	ended    atomic.Uint32 // the error that was reported, which does not change
}

type standardContext struct {
	context.Context
	cancel context.CancelFunc
}

// The causes of the end of a context.
const (
	endNone uint32 = iota
	endCanceled
	endDeadline
)

func (c *attemptContext) begin(parent context.Context, deadline time.Duration) {
	if d, ok := parent.Deadline(); ok {
		deadline = min(deadline, d.Sub(epoch))
	}
	c.parent, c.deadline = parent, deadline
}

// end ends the context and releases the standard context, if there is one.
func (c *attemptContext) end() {
	c.over.Store(true)
	if s := c.standard.Load(); s != nil {
		s.cancel()
	}
}

// Deadline implements context.Context.
func (c *attemptContext) Deadline() (time.Time, bool) { return epoch.Add(c.deadline), true }

// Done implements context.Context.
func (c *attemptContext) Done() <-chan struct{} {
	s := c.standard.Load()
	if s == nil {
		s = &standardContext{}
		s.Context, s.cancel = context.WithDeadline(c.parent, epoch.Add(c.deadline))
		if !c.standard.CompareAndSwap(nil, s) {
			s.cancel()
			s = c.standard.Load()
		}
		if c.over.Load() {
			s.cancel()
		}
	}
	return s.Done()
}

// Err implements context.Context.
func (c *attemptContext) Err() error {
	if c.ended.Load() == endNone {
		c.ended.CompareAndSwap(endNone, c.cause())
	}
	switch c.ended.Load() {
	case endCanceled:
		return context.Canceled
	case endDeadline:
		return context.DeadlineExceeded
	}
	return nil
}

func (c *attemptContext) cause() uint32 {
	var err error
	switch s := c.standard.Load(); {
	case s != nil:
		err = s.Err()
	case c.over.Load():
		return endCanceled
	default:
		if err = c.parent.Err(); err == nil && now() >= c.deadline {
			return endDeadline
		}
	}
	switch {
	case err == nil:
		return endNone
	case errors.Is(err, context.DeadlineExceeded):
		return endDeadline
	}
	return endCanceled // a parent's other errors are treated as cancellation
}

// Value implements context.Context.
func (c *attemptContext) Value(key any) any {
	if s := c.standard.Load(); s != nil {
		return s.Value(key)
	}
	return c.parent.Value(key)
}
