package client

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// callbacks keeps a panic of the user's functions from ending the process.
type callbacks struct {
	log logsafe.Log
}

// call calls a function of the user.
func (c *callbacks) call(f func()) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked("mqtt: a hook panicked", v, debug.Stack())
		}
	}()
	f()
}

// apart is call on a goroutine of its own, for what is called seldom: a function that ends
// its goroutine (runtime.Goexit, as a failing test assertion does) does not end the caller's,
// which has to go on behind it.
func (c *callbacks) apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.call(f)
	}()
	<-done
}

func (c *callbacks) panicked(message string, value any, stack []byte) {
	c.log.Few("panics", "", func(more []any) {
		c.log.Panic(message, stack, append(more, logsafe.KeyPanic, fmt.Sprint(value))...)
	})
}

// handlerFailed logs the error of a handler if it is a panic.
func (c *callbacks) handlerFailed(err error) {
	if p, ok := errors.AsType[*delivery.PanicError](err); ok {
		c.panicked("mqtt: handler panicked", p.Value, p.Stack)
	}
}

// callHook calls a hook, if it is set.
func callHook[I any](c *callbacks, hook func(I), info I) {
	if hook != nil {
		c.call(func() { hook(info) })
	}
}
