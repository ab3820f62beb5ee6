package faultmatrix_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 74: the handler of one device's message hangs, and the device keeps sending the same id,
// each time with another ordering key. Messages that wait to find out whether they are
// duplicates occupy none of the sixteen workers.
func TestFault_74_WaitingDuplicates(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const same = 40
		window, err := dedup.NewMemory(dedup.MemoryOptions{})
		if err != nil {
			h.Fatal(err)
		}
		// Acknowledgements are sent in order: without a large window on both sides, which on
		// MQTT 5 follows from the bytes of the queue, the message that hangs would delay the
		// others. This row does not test that.
		n := h.newNeighbours(mqtttest.WithMaxInflight(10_000))
		var free atomic.Pointer[chan struct{}]
		var effects, rounds atomic.Int64
		s := h.newSubscriber(n.broker.URL(), "", mqttbroker.WithDedup(window), mqttbroker.WithCloudEvents("/faults"),
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{QueueBytes: 1024 * mebi}))
		s.subscribe("devices/+/data", func(ctx context.Context, topic, payload string) error {
			if topic != "devices/"+rogue+"/data" {
				n.handled(idOf([]byte(payload)))
				return nil
			}
			effects.Add(1)
			select {
			case <-*free.Load():
			case <-ctx.Done():
			}
			return nil
		}, mqttbroker.WithSubscribeOrderingKey(func(m event.Incoming) string { return m.Topic() + string(m.Payload()) }))
		s.run()
		n.send = func(d *device, i int) {
			d.publish(wire{topic: "devices/" + d.name + "/data", headers: [][2]string{{"id", id(i)}}, payload: []byte(id(i))})
		}
		n.unharmed(s, func(first int) func() {
			rounds.Add(1)
			held := make(chan struct{})
			free.Store(&held)
			for i := range same {
				n.rogue.publish(wire{
					topic: "devices/" + rogue + "/data", payload: []byte(strings.Repeat("x", i) + id(hostile+first+i)),
					headers: [][2]string{{"id", id(hostile + first)}},
				})
			}
			return func() { close(held) }
		})
		n.soon(func() bool { return s.health().Duplicates == (same-1)*rounds.Load() })
		if d := s.health().Duplicates; d != (same-1)*rounds.Load() || effects.Load() != rounds.Load() {
			h.Errorf("%d times %d messages of one id: %d taken for duplicates, %d effects", rounds.Load(), same, d, effects.Load())
		}
	})
}
