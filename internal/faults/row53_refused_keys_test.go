package faults_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/scripted"
)

// Row 53: the broker refuses thousands of topics of an outbox, and says so.
// They close themselves only, and an operator sees how many they are and why.
func TestFault_53_KeysRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t, "5") // MQTT 3.1.1 cannot refuse a PUBLISH
	const keys = 3000
	b := mqtttest.NewScripted(h)
	refused := func(topic string) bool {
		return len(topic) > len(h.name)+8 && topic[len(h.name):len(h.name)+8] == "/refused"
	}
	b.Inject(scripted.Fault{Direction: scripted.ToBroker, Type: scripted.Publish, Filter: refused, Do: scripted.Refuse(0x87)})
	s := h.newSubscriber(b.URL(), "-sub")
	f := h.newFlow(s)
	s.run()
	p := h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(h.memoryOutbox()))
	f.unharmed(p, func() {
		for i := range keys {
			if err := p.publish(h.within(patience), fmt.Sprintf("%s/refused/%d", h.name, i), id(i)); err != nil {
				h.Error(err)
				return
			}
		}
	})
	h.eventually(func() error { return atLeast("closed keys", 0, keys) })
	if n := h.said.logs("0x87") + h.said.logs("not authorized"); n == 0 || n > 10 {
		h.Errorf("%d lines about %d refused topics", n, keys)
	}
}

// slowStore takes long to count.
type slowStore struct {
	outbox.Store
	slow atomic.Int64 // nanoseconds
}

func (s *slowStore) Stats(ctx context.Context) (outbox.Stats, error) {
	if d := time.Duration(s.slow.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return outbox.Stats{}, ctx.Err()
		}
	}
	return s.Store.Stats(ctx)
}

// Row 54: the statistics of an outbox take longer than the time between two of
// them, or never come back.
func TestFault_54_SlowStatistics(t *testing.T) {
	t.Parallel()
	for name, took := range map[string]time.Duration{"slow": 400 * time.Millisecond, "hanging": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				b := mqtttest.NewScripted(h)
				s := h.newSubscriber(b.URL(), "-sub")
				f := h.newFlow(s)
				s.run()
				store := &slowStore{Store: h.memoryOutbox()}
				p := h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(store, mqttbroker.OutboxPollInterval(200*time.Millisecond)))
				f.unharmed(p, func() { store.slow.Store(int64(took)) })
			})
		})
	}
}

// Row 56: messages that an outbox cannot take, in the middle of others. They
// fail, and nothing else does.
func TestFault_56_KeyThatNoStoreTakes(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.NewScripted(h)
		s := h.newSubscriber(b.URL(), "-sub")
		f := h.newFlow(s)
		s.run()
		p := h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(h.sqlOutbox()))
		var failed atomic.Int64
		const bad = 40
		f.unharmed(p, func() {
			for i := range bad {
				err := p.send(h.within(patience), h.name+"/bad", []byte(id(i)), func(err error) {
					if err != nil {
						failed.Add(1)
					}
				}, mqttbroker.OrderingKey("\xff"))
				if err != nil {
					failed.Add(1)
				}
			}
		})
		h.eventually(func() error { return atLeast("failed", int(failed.Load()), bad) })
		if h.said.logs("the outbox fails") > 0 {
			h.Error("a bad key was taken for a store that fails")
		}
	})
}
