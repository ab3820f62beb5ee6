package session

import (
	"context"
	"fmt"
	"runtime/debug"
)

// callback calls a user's function on a separate goroutine, so that a function
// that hangs or panics blocks nothing else. At most one call runs at a time:
// while one hangs, the next caller waits within its context for it to return.
// Only one goroutine may call ask.
type callback[T any] struct {
	what    string
	running chan reply[T] // result of the running call, or nil
}

type reply[T any] struct {
	v   T
	err error
}

// ask returns the result of f, or the error of ctx. The result of a call whose
// caller has given up is discarded.
func (c *callback[T]) ask(ctx context.Context, panicked func(what string, v any, stack []byte), f func() (T, error)) (none T, err error) {
	for mine := false; ; mine = true {
		fresh := c.running == nil
		if fresh {
			running := make(chan reply[T], 1)
			c.running = running
			go func() {
				r := reply[T]{err: fmt.Errorf("%s callback ended its goroutine", c.what)}
				defer func() { running <- r }()
				r = guarded(c.what, panicked, f)
			}()
		}
		select {
		case r := <-c.running:
			c.running = nil
			if fresh || mine {
				return r.v, r.err
			}
		case <-ctx.Done():
			return none, fmt.Errorf("%s callback has not returned: %w", c.what, context.Cause(ctx))
		}
	}
}

func guarded[T any](what string, panicked func(what string, v any, stack []byte), f func() (T, error)) (r reply[T]) {
	defer func() {
		if v := recover(); v != nil {
			panicked(what, v, debug.Stack())
			r.err = fmt.Errorf("%s callback panicked: %v", what, v)
		}
	}()
	r.v, r.err = f()
	return r
}
