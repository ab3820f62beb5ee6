package faultmatrix_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 27: a flood of QoS 0 messages meets a handler so slow that messages cannot wait for
// room. Goroutines and memory stay bounded, and every received message is either handled or
// counted as dropped. FAULT_FLOOD sets the number of messages.
func TestFault_27_FloodOfQoS0(t *testing.T) {
	oneByOne(t, func(h *harness) {
		const size, queue, work = 1024, 64, 500 * time.Millisecond
		messages := h.size("FAULT_FLOOD", 20_000)
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		var handled atomic.Int64
		s := h.newSubscriber(proxy.URL(), "-sub", mqttbroker.WithKeepAlive(time.Second),
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{Queue: queue}))
		s.subscribe(h.name+"/data/+", func(context.Context, string, string) error {
			pause(work)
			handled.Add(1)
			return nil
		})
		s.run()
		p := h.publisher(b.URL(), "-pub")
		h.eventually(func() error { return eachConnected([]*spy{p.spy}, 1) })
		before := h.goroutines()
		l := p.load(nil)
		body := make([]byte, size-idLength)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range messages {
				l.send(fmt.Sprintf("%s/data/%d", h.name, i%64), append(slices.Clip(body), id(i)...), event.QoS(0))
			}
			l.succeeded()
			p.must(h.name+"/data/last", id(messages))
		}()
		m := h.measure(func() int { return s.health().Queued }, func() error {
			select {
			case <-sent:
			default:
				return fmt.Errorf("still sending")
			}
			arrived := int64(proxy.Counts().Passed(mqtttest.ToClient, mqtttest.TypePublish))
			health := s.health()
			if health.QueueFull+handled.Load() != arrived || health.Queued+health.Running > 0 {
				return fmt.Errorf("%d arrived, %d handled, %d counted as dropped", arrived, handled.Load(), health.QueueFull)
			}
			return nil
		})
		arrived := proxy.Counts().Passed(mqtttest.ToClient, mqtttest.TypePublish)
		h.figure(fmt.Sprintf("flood of %d messages of QoS 0: live heap above before", messages), fmt.Sprintf("%.1f MiB", float64(m.heap)/mebi))
		h.Logf("%d arrived, %d handled, %d dropped; goroutines %d before, at most %d", arrived, handled.Load(), s.health().QueueFull, before, m.goroutines)
		if m.heap > 32*mebi { // the recorder's ids are part of it
			h.Errorf("%d bytes of heap", m.heap)
		}
		if m.goroutines > before+32 {
			h.Errorf("%d goroutines before, %d in the flood", before, m.goroutines)
		}
		if m.queued > queue {
			h.Errorf("%d messages queued", m.queued)
		}
		if s.health().QueueFull == 0 {
			h.Error("nothing was dropped: that was no flood")
		}
		h.eventually(func() error {
			if told := s.full.Load(); told != s.health().QueueFull {
				return fmt.Errorf("the hook was told of %d drops, health counts %d", told, s.health().QueueFull)
			}
			return nil
		})
		if n := len(s.lost()); n != 0 {
			h.Errorf("%d connections lost", n)
		}
	})
}
