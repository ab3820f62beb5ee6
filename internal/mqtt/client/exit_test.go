package client

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A hook that ends its goroutine, as a failing test assertion does, has each attempt of a
// batch once, and delays none of its messages.
func TestBatchGoesOnBehindHookThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	var told atomic.Int64
	c := client(t, mqtttest.InProcess(t).URL(), func(c *Config) {
		c.Hooks = hook.Calls{Handled: func(event.HandleInfo) { told.Add(1); runtime.Goexit() }}
	})
	s := on("a/+", func(context.Context, *Delivery) error { return nil })
	s.Batch = &Batch{MaxSize: 4, MaxWait: time.Hour, Handler: func(_ context.Context, _ []*Delivery, errs []error) error {
		errs[2] = errors.New("alone")
		return nil
	}}
	running(t, c, s)
	for _, topic := range []string{"a/1", "a/2", "a/3", "a/4"} {
		publish(t, c, topic, 1, "x")
	}
	eventually(t, func() bool {
		h := c.Health()
		return told.Load() == 5 && h.Queued == 0 && h.Running == 0 && h.QueuedBytes == 0
	},
		"health", func() any { return c.Health() })
}
