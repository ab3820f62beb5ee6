package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// Row 14: a handler fails once for each message. The process runs it again, in order and
// without a redelivery, and each message is handled once.
func TestFault_14_ErrorOnce(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages = 200
		b := h.mosquitto()
		store := deadletter.NewMemory(0)
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(store))
		var (
			mu     sync.Mutex
			failed = make(map[string]bool)
			last   = make(map[string]string) // last message of each topic
		)
		s.subscribe(h.name+"/data/+", func(_ context.Context, topic, payload string) error {
			mu.Lock()
			defer mu.Unlock()
			id := idOf([]byte(payload))
			if !failed[id] {
				failed[id] = true
				return errors.New("once")
			}
			if last[topic] >= id {
				h.Errorf("%s after %s", id, last[topic])
			}
			last[topic] = id
			h.rec.Handled(id)
			return nil
		}, quick(10)...)
		s.run()
		l := h.publisher(b.URL(), "-pub").load(nil)
		l.sendAll(h.name+"/data", 0, messages)
		l.succeeded()
		if rep := h.settled(); rep.Duplicates > 0 {
			h.Errorf("%d duplicates", rep.Duplicates)
		}
		h.eventually(func() error { return atLeast("attempts", int(s.attempts.Load()), 2*messages) })
		if n := s.attempts.Load(); n != 2*messages {
			h.Errorf("%d attempts", n)
		}
		if st, _ := store.Stats(h.Context()); st.Dead+st.Parked != 0 {
			h.Errorf("letters: %s", fmt.Sprint(st))
		}
	})
}
