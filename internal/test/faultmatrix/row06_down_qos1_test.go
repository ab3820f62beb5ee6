package faultmatrix_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 6: messages are published at QoS 1 while the broker is down, before the first
// connection and after a loss. With an outbox Publish returns nil once they are on disk, and
// they arrive later.
func TestFault_06_QoS1WhileDownWithOutbox(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages = 1500
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		store, _ := h.fileOutbox(h.outboxPath(), 0)
		proxy.Refuse(true)
		p := h.publisher(proxy.URL(), "-pub", mqttbroker.WithOutbox(store))
		down := func(first int) {
			h.Helper()
			began := time.Now()
			if failed, err := p.accept(h.name+"/data", first, messages); failed > 0 {
				h.Fatalf("%d publishes failed: %v", failed, err)
			}
			h.figure("accepted by the file outbox while down", int(messages/time.Since(began).Seconds()))
			if o := p.health().Outbox; o.Depth != messages || o.Age <= 0 {
				h.Errorf("%+v", o)
			}
			if n := h.rec.Report().Handled; n != first {
				h.Errorf("%d handled", n)
			}
		}
		down(0)
		proxy.Refuse(false)
		p.emptied()
		h.settled()
		proxy.Refuse(true)
		proxy.Cut()
		h.eventually(func() error { return eachLost([]*spy{p.spy}) })
		down(messages)
		proxy.Refuse(false)
		p.emptied()
		h.settled()
	})
}

// Row 6: a full outbox refuses messages at once, and accepts them again when there is room.
func TestFault_06_QoS1WhileDownOutboxFull(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const bound, messages = 300, 1000
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		store, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: bound})
		if err != nil {
			h.Fatal(err)
		}
		proxy.Refuse(true)
		p := h.publisher(proxy.URL(), "-pub", mqttbroker.WithOutbox(store))
		failed, err := p.accept(h.name+"/data", 0, messages)
		if failed != messages-bound {
			h.Errorf("%d publishes failed, want %d", failed, messages-bound)
		}
		if e := h.wantReason(err, event.ReasonOutboxFull); e.MayHaveBeenSent || e.Code() != 503 {
			h.Errorf("%+v", e)
		}
		if o := p.health().Outbox; o.Depth != bound || o.Fill != 1 {
			h.Errorf("%+v", o)
		}
		proxy.Refuse(false)
		p.emptied()
		if failed, err := p.accept(h.name+"/data", messages, bound); failed > 0 {
			h.Errorf("%d publishes failed with room: %v", failed, err)
		}
		if rep := h.settled(); len(rep.Recovered) > 0 {
			h.Errorf("%d messages arrived that were refused", len(rep.Recovered))
		}
	})
}

// Row 6: without an outbox, Publish waits for the connection until its timeout, and then
// returns an error that the message was not sent.
func TestFault_06_QoS1WhileDownWithoutOutbox(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const callers = 800
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		h.subscriber(b.URL(), "-sub", h.name+"/data")
		proxy.Refuse(true)
		p := h.publisher(proxy.URL(), "-pub")
		ctx := h.within(500 * time.Millisecond)
		var wrong atomic.Pointer[error]
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				h.rec.Attempted(id(i))
				err := p.publish(ctx, h.name+"/data", id(i))
				if e, ok := err.(*event.Error); !ok || e.Reason != event.ReasonNotConnected || e.MayHaveBeenSent {
					wrong.Store(&err)
				}
			})
		}
		all.Wait()
		if err := wrong.Load(); err != nil {
			h.Errorf("%v", *err)
		}
		if n := p.health().InFlight; n != 0 {
			h.Errorf("%d messages stay", n)
		}
		proxy.Refuse(false)
		p.must(h.name+"/data", ids(callers, 50)...)
		if rep := h.settled(); len(rep.Recovered) > 0 {
			h.Errorf("%d messages whose publish failed arrived", len(rep.Recovered))
		}
	})
}
