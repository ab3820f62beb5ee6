package faultmatrix_test

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// heavy describes what one device sends to exhaust the memory of the service.
type heavy struct {
	on       []string // versions of MQTT
	messages int
	wire     wire
	over     time.Duration // time over which they are sent; 0 means at once
	work     time.Duration // time of its handler; 0 means until the measurement is over
}

func (w heavy) versions() []string { return w.on }

// memoryOfOne runs a row that measures memory, without parallel rows.
func memoryOfOne(t *testing.T, ways map[string]heavy) {
	for name, way := range ways {
		for _, version := range way.versions() {
			t.Run(name+" MQTT "+version, func(t *testing.T) { newHarness(t, version).memoryOfOne(way) })
		}
	}
}

func (h *harness) memoryOfOne(way heavy) {
	n := h.newNeighbours()
	n.heap = 40 * mebi // 32 MiB, the default of queue_bytes, and a quarter
	way.wire.topic = "devices/" + rogue + "/data"
	var held atomic.Pointer[chan struct{}] // the handlers of this round wait for it
	s := h.newSubscriber(n.broker.URL(), "")
	s.subscribe("devices/+/data", func(ctx context.Context, topic, payload string) error {
		switch {
		case topic != way.wire.topic:
			n.handled(idOf([]byte(payload)))
		case way.work > 0:
			pause(way.work)
		default:
			select {
			case <-*held.Load():
			case <-ctx.Done():
			}
		}
		return nil
	})
	s.run()
	packet := h.encode(way.wire, 1) // once, so that allocations of the test itself are not measured
	n.unharmed(s, func(int) func() {
		free := make(chan struct{})
		held.Store(&free)
		n.rogue.writeOver(way.over, way.messages, packet)
		return func() {
			close(free)
			n.soon(func() bool { return s.health().Queued+s.health().Running == 0 })
		}
	})
	if way.work == 0 && s.health().QueueFull == 0 {
		n.named(way.wire.topic)
	}
}

// Row 72: one device sends more than there is memory for: large messages, and messages that
// consist of properties. Messages that wait for a handler are bounded in bytes at every QoS.
func TestFault_72_MemoryOfOneDevice(t *testing.T) {
	properties := bytes.Repeat([]byte{0x26, 0, 0, 0, 0}, 50_000) // user properties without name and value
	memoryOfOne(t, map[string]heavy{
		"large, QoS 1":      {[]string{"3.1.1", "5"}, 200, wire{payload: make([]byte, 250_000)}, 0, 3 * time.Millisecond},
		"properties, QoS 0": {[]string{"5"}, 40, wire{payload: []byte("xx"), atMostOnce: true, propertiesBytes: properties}, beside / 2, 0},
		"properties, QoS 1": {[]string{"5"}, 40, wire{payload: []byte("xx"), propertiesBytes: properties}, beside / 2, time.Millisecond},
	})
}
