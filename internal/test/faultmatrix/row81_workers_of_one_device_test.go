package faultmatrix_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 81: the handler of one device's messages hangs, and the device keeps sending on more topics
// than there are workers. It never occupies all sixteen workers, at any QoS, nor all workers of
// a subscription with its own limit.
func TestFault_81_WorkersOfOneDevice(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]struct {
		atMostOnce  bool
		concurrency uint32
	}{"QoS 0": {true, 0}, "QoS 1": {false, 0}, "QoS 0, concurrency 4": {true, 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) { h.workersOfOne(way.atMostOnce, way.concurrency) })
		})
	}
}

func (h *harness) workersOfOne(atMostOnce bool, concurrency uint32) {
	const topics, filter = 40, "devices/+/data/#"
	// Acknowledgements are sent in order: without a large window on both sides, which on
	// MQTT 5 follows from the bytes of the queue, QoS 1 messages that hang would delay the
	// others at the broker. This row does not test that.
	n := h.newNeighbours(mqtttest.WithMaxInflight(10_000))
	var free atomic.Pointer[chan struct{}]
	var most, now atomic.Int64
	s := h.newSubscriber(n.broker.URL(), "", mqttbroker.WithSubscriberConfig(&v1.Subscriber{
		QueueBytes: 1024 * mebi, Subscriptions: map[string]*v1.Subscription{filter: {Concurrency: concurrency}},
	}))
	s.subscribe(filter, func(ctx context.Context, topic, payload string) error {
		if !strings.HasPrefix(topic, "devices/"+rogue+"/") {
			n.handled(idOf([]byte(payload)))
			return nil
		}
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		select {
		case <-*free.Load():
		case <-ctx.Done():
		}
		return nil
	})
	s.run()
	n.unharmed(s, func(first int) func() {
		held := make(chan struct{})
		free.Store(&held)
		for i := range topics {
			n.rogue.publish(wire{
				topic: "devices/" + rogue + "/data/" + strconv.Itoa(i), payload: []byte(id(hostile + first + i)), atMostOnce: atMostOnce,
			})
		}
		return func() {
			close(held)
			n.soon(func() bool { return s.health().Queued+s.health().Running == 0 })
		}
	})
	if left := s.health(); left.Queued+left.Running > 0 {
		h.Errorf("%d of its messages wait and %d run once its handler goes on", left.Queued, left.Running)
	}
	h.figure(h.Name(), strconv.FormatInt(most.Load(), 10)+" workers at most")
}
