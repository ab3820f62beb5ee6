package client

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// callbacks keep a panic of the user's functions from ending the process.
type callbacks struct {
	log   Logger
	lines logsafe.Few
}

// call calls a function of the user's.
func (c *callbacks) call(f func()) {
	defer func() {
		if v := recover(); v != nil {
			c.panicked(fmt.Sprintf("mqtt: a hook panicked: %v", v), debug.Stack())
		}
	}()
	f()
}

func (c *callbacks) panicked(text string, stack []byte) {
	c.lines.Say("", func(others string) { c.log.Panic(text+others, stack) })
}

// handlerFailed logs the error of a handler that is a panic.
func (c *callbacks) handlerFailed(err error) {
	if p, ok := errors.AsType[*delivery.PanicError](err); ok {
		c.panicked(fmt.Sprintf("mqtt: handler panicked: %v", p.Value), p.Stack)
	}
}

// tellOf calls a hook, if there is one.
func tellOf[I any](c *callbacks, hook func(I), info I) {
	if hook != nil {
		c.call(func() { hook(info) })
	}
}
