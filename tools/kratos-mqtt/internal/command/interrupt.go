package command

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
)

// nameInterrupts makes the error of an interrupted command say so, where it is only that its
// context ended.
func nameInterrupts(c *cobra.Command) {
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			err := run(c, args)
			if cause := context.Cause(c.Context()); cause != nil && (errors.Is(err, context.Canceled) || errors.Is(err, cause)) {
				exit := &ExitError{Code: 1}
				_ = errors.As(err, &exit) // a plugin for monitoring has a code of its own
				return &ExitError{Code: exit.Code, Err: errInterrupted}
			}
			return err
		}
	}
	for _, inner := range c.Commands() {
		nameInterrupts(inner)
	}
}

var errInterrupted = errors.New("interrupted")

// grace is how long what has begun may go on after an interrupt, or after the time of a command.
const grace = 5 * time.Second

// toTheEnd returns a context for what has begun and is to end, so that its outcome is known: it
// ends after ctx and the grace, since a broker or a service that is gone does not answer any more.
func toTheEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	whole, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(whole, func() { timer.Stop() })
	})
	return whole, func() { stop(); cancel() }
}
