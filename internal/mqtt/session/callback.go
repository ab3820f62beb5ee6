package session

import (
	"context"
	"fmt"
	"runtime/debug"
)

// callback asks a function of the user's on a goroutine of its own, so that one
// that hangs or panics holds up nothing but itself. At most one runs at a time:
// while one hangs, the next caller waits for its end within its context. Its
// goroutine ends when the function returns. One goroutine may ask.
type callback[T any] struct {
	what    string
	running chan reply[T] // of the one that is running; nil without
}

type reply[T any] struct {
	v   T
	err error
}

// ask returns what f returns, or ctx's error. The answer of a call that an
// earlier caller gave up is thrown away.
func (c *callback[T]) ask(ctx context.Context, panicked func(what string, v any, stack []byte), f func() (T, error)) (none T, err error) {
	for mine := false; ; mine = true {
		fresh := c.running == nil
		if fresh {
			running := make(chan reply[T], 1)
			c.running = running
			go func() { running <- guarded(c.what, panicked, f) }()
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
