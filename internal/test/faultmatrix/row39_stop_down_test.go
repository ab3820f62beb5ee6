package faultmatrix_test

import (
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 39: everything is stopped while the broker is down. Stopping keeps its time limit,
// waiting callers get an outcome, and the outbox is unchanged: the next process sends its
// messages.
func TestFault_39_StopWhileDown(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, waiting, limit = 500, 50, 3 * time.Second
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		path := h.outboxPath()
		store, shut := h.fileOutbox(path, 0)
		s := h.subscriber(proxy.URL(), "-sub", h.name+"/data/+")
		p := h.publisher(proxy.URL(), "-pub", mqttbroker.WithOutbox(store))
		bare := h.publisher(proxy.URL(), "-bare")
		h.eventually(func() error { return eachConnected([]*spy{s.spy, p.spy, bare.spy}, 1) })
		proxy.Refuse(true)
		proxy.Cut()
		h.eventually(func() error { return eachLost([]*spy{s.spy, p.spy, bare.spy}) })
		if failed, err := p.accept(h.name+"/data", 0, messages); failed > 0 {
			h.Fatalf("%d publishes failed: %v", failed, err)
		}
		var told atomic.Int32
		for i := range waiting {
			go func() {
				h.rec.Attempted(id(messages + i))
				err := bare.publish(h.within(time.Minute), h.name+"/data/0", id(messages+i))
				if e, ok := err.(*event.Error); ok && e.Code() == 503 && !e.MayHaveBeenSent {
					told.Add(1)
				}
			}()
		}
		for what, stop := range map[string]func(time.Duration) error{"subscriber": s.stop, "publisher with an outbox": p.close, "publisher": bare.close} {
			took := h.timed(func() error { return stop(limit) })
			h.figure("stop while down, "+what, took.Round(time.Millisecond))
			if took > limit+slack {
				h.Errorf("%s: %v", what, took)
			}
		}
		h.eventually(func() error { return atLeast("callers told", int(told.Load()), waiting) })

		shut()
		again, _ := h.fileOutbox(path, 0)
		if stats, err := again.Stats(h.Context()); err != nil || stats.Depth != messages {
			h.Fatalf("%+v, %v: want %d entries", stats, err, messages)
		}
		h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(again)).emptied()
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		if rep := h.settled(); len(rep.Recovered) > 0 {
			h.Errorf("%d messages arrived whose publish failed as not sent", len(rep.Recovered))
		}
	})
}
