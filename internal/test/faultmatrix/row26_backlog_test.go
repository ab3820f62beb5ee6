package faultmatrix_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

const backlogSize = 1024

// Row 26: a large backlog and a handler that takes one millisecond. Nothing is lost, the
// backlog drains at the speed of the handlers, the connection stays alive, and memory holds
// what the broker may send without acknowledgement. FAULT_BACKLOG sets the number of
// messages.
func TestFault_26_Backlog(t *testing.T) {
	oneByOne(t, func(h *harness) {
		const window = 100
		b := h.newBacklog(mqtttest.InProcess(h, broker.MaxInflight(window), broker.MaxQueued(0)).URL())
		const done = 32                                 // acknowledged and still counted
		if m := b.comesBack(); m.queued > window+done { // the heap includes that of the broker
			h.Errorf("%d messages held", m.queued)
		}
	})
}

// Mosquitto 2.0.11 keeps neither to its in-flight limit nor, on MQTT 5, to the client's
// Receive Maximum: each acknowledgement lets it send as many messages more, until all are
// sent. Memory is bounded all the same, by the queue and the socket buffers: the connection
// is not read while the queue is full. The heap does not grow with the backlog.
func TestFault_26_BacklogOfMosquitto(t *testing.T) {
	oneByOne(t, func(h *harness) {
		const queue, workers = 1024, 16
		b := h.newBacklog(h.mosquitto().URL())
		m := b.comesBack()
		h.figure(fmt.Sprintf("backlog of %d messages of %d bytes, live heap above before", b.messages, backlogSize), fmt.Sprintf("%.1f MiB", float64(m.heap)/mebi))
		if m.queued > queue+workers {
			h.Errorf("%d messages held, want %d", m.queued, queue+workers)
		}
		if m.queued < queue/2 {
			h.Errorf("%d messages held: that was no backlog", m.queued)
		}
		// The recorder's own memory, for each message.
		if limit := 2*queue*backlogSize + 8*mebi + int64(b.messages)*recorded; m.heap > limit {
			h.Errorf("%d bytes of heap, want %d", m.heap, limit)
		}
	})
}

// recorded is the recorder's memory for a handled message, in bytes.
const recorded = 128

// backlog is a subscriber with slow handlers, and messages that wait for it.
type backlog struct {
	h        *harness
	messages int
	proxy    *mqtttest.Proxy
	s        *subscriber
	p        *publisher
}

func (h *harness) newBacklog(url string) *backlog {
	b := &backlog{h: h, messages: h.size("FAULT_BACKLOG", 8000), proxy: mqtttest.NewProxy(h, url)}
	b.s = h.newSubscriber(b.proxy.URL(), "-sub", mqttbroker.WithKeepAlive(time.Second))
	b.s.subscribe(h.name+"/data/+", func(_ context.Context, _, payload string) error {
		pause(time.Millisecond)
		h.rec.Handled(idOf([]byte(payload)))
		return nil
	})
	b.s.run()
	b.p = h.publisher(url, "-pub")
	return b
}

// comesBack creates the backlog while the subscriber is away, and measures until it is
// handled.
func (b *backlog) comesBack() meter {
	h := b.h
	h.Helper()
	b.proxy.Refuse(true)
	b.proxy.Cut()
	h.eventually(func() error { return eachLost([]*spy{b.s.spy}) })
	b.publish()
	b.proxy.Refuse(false)
	began := time.Now()
	m := h.measure(b.held, func() error { return h.rec.Report().Err() })
	took := time.Since(began)
	h.Log(h.rec.Report())
	name := fmt.Sprintf("backlog of %d messages of %d bytes", b.messages, backlogSize)
	h.figure(name+", most messages held", m.queued)
	h.figure(name+", drained at", fmt.Sprintf("%.0f messages/s, handlers could do 16000", float64(b.messages)/took.Seconds()))
	if n := len(b.s.lost()); n != 1 {
		h.Errorf("%d connections lost, want the one that was cut", n)
	}
	return m
}

func (b *backlog) publish() {
	b.h.Helper()
	l := b.p.load(nil)
	body := make([]byte, backlogSize-idLength)
	for i := range b.messages {
		l.send(fmt.Sprintf("%s/data/%d", b.h.name, i%64), append(slices.Clip(body), id(i)...))
	}
	l.succeeded()
}

func (b *backlog) held() int {
	health := b.s.health()
	return health.Queued + health.Running
}
