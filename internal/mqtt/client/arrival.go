package client

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// arrived shows a message to the hooks before its first attempt.
func (f *flows) arrived(d *Delivery) {
	if d.arrived {
		return
	}
	d.arrived = true
	hooks := &f.cfg.Hooks
	f.calls.call(func() {
		if hooks.Arriving() {
			hooks.Arrived(arrivalOf(d))
		}
	})
}

// arrivedAll is arrived for the messages of a batch.
func (f *flows) arrivedAll(ds []*Delivery) {
	if f.cfg.Hooks.Arriving == nil {
		return
	}
	for _, d := range ds {
		f.arrived(d)
	}
}

func arrivalOf(d *Delivery) event.ArrivalInfo {
	info := event.ArrivalInfo{Delivery: d.Info(0), Message: envelope.ViewArrived(d.Inbound), Duplicate: d.Duplicate}
	info.ID = envelope.HeaderID(info.Message.Headers)
	return info
}

// unmatchedArrival is the task that shows the hooks a message without a subscription. Its
// acknowledgement does not wait for it.
type unmatchedArrival struct {
	flows   *flows
	message Delivery
}

// Run implements [delivery.Task].
func (a *unmatchedArrival) Run(context.Context) (again time.Duration, done bool) {
	a.flows.arrived(&a.message)
	return 0, true
}
