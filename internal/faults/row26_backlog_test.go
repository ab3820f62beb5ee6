package faults_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 26: a large backlog meets a handler of one millisecond. Nothing is lost,
// the backlog drains at the speed of the handlers, and the connection stays
// alive. What is held in memory is what the broker sends unacknowledged.
// Mosquitto 2.0.11 does not keep to its in-flight limit, nor on MQTT 5 to the
// client's Receive Maximum: each acknowledgement lets it send as many messages
// more, until all are sent. So memory is bounded by its queue only, at less than
// twice the messages' size. FAULT_BACKLOG sets the number of messages.
func TestFault_26_Backlog(t *testing.T) {
	const size, window = 1024, 20
	oneByOne(t, func(h *harness) {
		b := h.newBacklog(window)
		b.proxy.Refuse(true)
		b.proxy.Cut()
		h.eventually(func() error { return eachLost([]*spy{b.s.spy}) })
		b.publish(size)
		b.proxy.Refuse(false)
		began := time.Now()
		m := h.measure(b.held, func() error { return h.rec.Report().Err() })
		took := time.Since(began)
		h.Log(h.rec.Report())
		name := fmt.Sprintf("backlog of %d messages of %d bytes", b.messages, size)
		h.figure(name+", live heap above before", fmt.Sprintf("%.1f MiB", float64(m.heap)/mebi))
		h.figure(name+", most messages held", m.queued)
		h.figure(name+", drained at", fmt.Sprintf("%.0f messages/s, handlers could do 16000", float64(b.messages)/took.Seconds()))
		if limit := 16*mebi + int64(b.messages)*2*size; m.heap > limit {
			h.Errorf("%d bytes of heap, want %d", m.heap, limit)
		}
		if n := len(b.s.lost()); n != 1 {
			h.Errorf("%d connections lost, want the one that was cut", n)
		}
	})
}

// backlog is a subscriber with slow handlers and messages that wait for it.
type backlog struct {
	h        *harness
	messages int
	proxy    *mqtttest.Proxy
	s        *subscriber
	p        *publisher
}

func (h *harness) newBacklog(window int) *backlog {
	broker := h.mosquitto(mqtttest.WithMaxInflight(window))
	b := &backlog{h: h, messages: h.size("FAULT_BACKLOG", 8000), proxy: mqtttest.NewProxy(h, broker.URL())}
	b.s = h.newSubscriber(b.proxy.URL(), "-sub", mqttbroker.WithKeepAlive(time.Second))
	b.s.subscribe(h.name+"/data/+", func(_ context.Context, _, payload string) error {
		pause(time.Millisecond)
		h.rec.Handled(idOf([]byte(payload)))
		return nil
	})
	b.s.run()
	b.p = h.publisher(broker.URL(), "-pub")
	return b
}

func (b *backlog) publish(size int) {
	b.h.Helper()
	l := b.p.load(nil)
	body := make([]byte, size-idLength)
	for i := range b.messages {
		l.send(fmt.Sprintf("%s/data/%d", b.h.name, i%64), append(body[:len(body):len(body)], id(i)...))
	}
	l.succeeded()
}

func (b *backlog) held() int {
	health := b.s.health()
	return health.Queued + health.Running
}
