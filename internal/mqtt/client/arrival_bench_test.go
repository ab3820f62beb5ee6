package client

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// livePage is a hook that looks at messages while it is open.
type livePage struct {
	opened atomic.Bool
	count  atomic.Int64
}

func (p *livePage) WantsPayloads() bool         { return p.opened.Load() }
func (p *livePage) OnArrival(event.ArrivalInfo) { p.count.Add(1) }

// BenchmarkArrival measures an attempt at a message without a hook for arrivals, with a page
// that nobody has opened, and with an open one.
func BenchmarkArrival(b *testing.B) {
	closed, opened := new(livePage), new(livePage)
	opened.opened.Store(true)
	for _, bench := range []struct {
		name  string
		hooks []any
	}{{"no hook", nil}, {"closed", []any{closed}}, {"open", []any{opened}}} {
		b.Run(bench.name, func(b *testing.B) {
			set, err := hook.New(bench.hooks, logsafe.Log{Logger: logsafe.Silence})
			if err != nil {
				b.Fatal(err)
			}
			f := &flows{cfg: &Config{Hooks: set.Calls()}, log: logsafe.Log{Logger: logsafe.Silence}, calls: &callbacks{log: logsafe.Log{Logger: logsafe.Silence}}}
			o := f.observer()
			o.Finished, o.Overrun = nil, nil
			a, err := delivery.NewAttempts(func(context.Context, *Delivery, int) error { return nil }, delivery.Policy[*Delivery]{Observer: o})
			if err != nil {
				b.Fatal(err)
			}
			in := &session.Inbound{Topic: "devices/7/data", Payload: make([]byte, 128), Properties: &session.Properties{User: []UserProperty{{Key: "id", Value: "1"}}}}
			b.ReportAllocs()
			for b.Loop() {
				d := &Delivery{Event: envelope.Event{Inbound: in}}
				a.Prepare(&d.task, d, nil)
				d.task.Run(b.Context())
			}
		})
	}
}
