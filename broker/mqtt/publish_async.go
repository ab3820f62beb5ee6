package mqtt

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// outcome calls the callback of an asynchronous publish once, although acknowledgement
// and timeout may come together.
type outcome struct {
	told  atomic.Bool
	timer atomic.Pointer[time.Timer]

	front    *front
	span     trace.Span  // nil without one
	callback func(error) // the user's; may be nil
}

func (o *outcome) is(err error) {
	if o.told.CompareAndSwap(false, true) {
		if t := o.timer.Load(); t != nil {
			t.Stop()
		}
		o.tell(err)
	}
}

func (o *outcome) tell(err error) {
	client.EndSpan(o.span, err)
	if cb := o.callback; cb != nil {
		o.front.client.Protect("publish callback", func() { cb(err) })
	}
}

// expire gives up waiting for the acknowledgement after d.
func (o *outcome) expire(d time.Duration, topic string) {
	t := time.AfterFunc(d, func() {
		o.is(&event.Error{
			Op: "publish", Topic: topic, Reason: event.ReasonTimeout, MayHaveBeenSent: true, Cause: context.DeadlineExceeded,
		})
	})
	o.timer.Store(t)
	if o.told.Load() {
		t.Stop()
	}
}
