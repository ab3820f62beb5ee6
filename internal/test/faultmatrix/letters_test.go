package faultmatrix_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// quick returns retry settings that are short enough for a test.
func quick(attempts int) []broker.SubscribeOption {
	return []broker.SubscribeOption{
		broker.WithSubscribeRetry(attempts-1, time.Millisecond), mqttbroker.WithSubscribeMaxBackoff(20 * time.Millisecond),
	}
}

// lettersIn returns the dead letters of a store.
func (h *harness) lettersIn(s deadletter.Store, state deadletter.State) []*deadletter.Letter {
	h.Helper()
	list, err := s.List(h.within(patience), deadletter.Query{State: state, Limit: 10_000})
	if h.said.err(err) != nil {
		h.Fatal(err)
	}
	for _, l := range list {
		h.said.value(l)
	}
	return list
}

// told returns the dead letters that were reported to the hook.
func (s *spy) told() []event.DeadLetterInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event.DeadLetterInfo(nil), s.letters...)
}

// shaky is a store whose failures are controlled by the test.
type shaky struct {
	*deadletter.Memory
	failing atomic.Bool
	puts    atomic.Int64
}

func (s *shaky) Put(ctx context.Context, l *deadletter.Letter) error {
	if s.puts.Add(1); s.failing.Load() {
		return fmt.Errorf("disk of %s on fire", l.Service)
	}
	return s.Memory.Put(ctx, l)
}
