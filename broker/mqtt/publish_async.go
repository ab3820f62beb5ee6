package mqtt

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// outcome calls the callback of an asynchronous publish once, although acknowledgement
// and timeout may come together.
type outcome struct {
	told  atomic.Bool
	timer atomic.Pointer[time.Timer]

	front    *front
	end      func(error) // of the span
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
	o.end(err)
	if cb := o.callback; cb != nil {
		o.front.client.Protect("publish callback", func() { cb(err) })
	}
}

func (f *front) sendAsync(ctx context.Context, m *envelope.Message, r *publishCall) error {
	ctx, cancel := r.bound(ctx) // of the admission; the rest is the timer's
	defer cancel()
	ctx, end := f.tracer.send(ctx, m)
	out := &r.outcome
	out.front, out.end, out.callback = f, end, r.generic.Callback
	started := time.Now()
	err := f.client.DeliverAsync(ctx, m, out.is)
	m.Body, m.Payload = nil, nil // were copied, and r lives until the outcome
	if err != nil {
		end(err)
		return err
	}
	if r.generic.Timeout > 0 {
		out.expire(r.generic.Timeout-time.Since(started), m.Topic)
	}
	return nil
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
