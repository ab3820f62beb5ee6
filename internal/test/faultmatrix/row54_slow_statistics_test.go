package faultmatrix_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// slowStore is a store whose Stats are slow.
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

// Row 54: the statistics of an outbox take longer than the interval between two queries, or
// never return.
func TestFault_54_SlowStatistics(t *testing.T) {
	t.Parallel()
	for name, took := range map[string]time.Duration{"slow": 400 * time.Millisecond, "hanging": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				b := mqtttest.InProcess(h)
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
