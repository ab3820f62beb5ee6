package event

import (
	"context"
	"errors"
)

// Pending is the handle of one message in flight. Safe for concurrent use.
type Pending struct {
	done chan struct{}
	err  error
}

// NewPending returns a handle without an outcome yet, and the function that sets it, which
// must be called once. Publishers call it.
func NewPending() (p *Pending, settle func(error)) {
	p = &Pending{done: make(chan struct{})}
	return p, func(err error) {
		p.err = err
		close(p.done)
	}
}

// Done is closed when the outcome is known.
func (p *Pending) Done() <-chan struct{} { return p.done }

// Err returns the outcome, or nil while it is not known.
func (p *Pending) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Wait returns the outcome, or an *Error that wraps ctx's error if ctx ends first: of the
// reason TIMEOUT or CANCELED, with MayHaveBeenSent set. The message then stays in flight, and
// Wait may be called again.
func (p *Pending) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		reason := ReasonCanceled
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			reason = ReasonTimeout
		}
		return &Error{Op: "publish", Reason: reason, MayHaveBeenSent: true, Cause: ctx.Err()}
	}
}
