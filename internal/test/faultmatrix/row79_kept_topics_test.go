package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// keeper is a hook that keeps the topics it receives.
type keeper struct {
	mu   sync.Mutex
	seen map[string]int
}

func (k *keeper) OnHandle(i event.HandleInfo) { k.keep(i.Topic) }

func (k *keeper) keep(topic string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen[topic]++
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.seen)
}

// Row 79: a handler and a hook keep topics, as a list of devices would, and one device sends
// large messages on many topics. A kept topic does not keep the memory of its message.
func TestFault_79_TopicsThatAreKept(t *testing.T) {
	oneByOne(t, func(h *harness) {
		const messages, size = 300, 250_000
		n := h.newNeighbours()
		n.heap = 40 * mebi
		handled, told := &keeper{seen: make(map[string]int)}, &keeper{seen: make(map[string]int)}
		s := h.newSubscriber(n.broker.URL(), "", mqttbroker.WithHooks(told))
		s.subscribe("devices/+/data/#", func(_ context.Context, topic, payload string) error {
			handled.keep(topic)
			if topic == "devices/"+deviceName(number(idOf([]byte(payload)))%honest)+"/data" {
				n.handled(idOf([]byte(payload)))
			}
			return nil
		})
		s.run()
		body := make([]byte, size)
		packets := make([][]byte, messages)
		for i := range packets {
			packets[i] = h.encode(wire{topic: fmt.Sprintf("devices/%s/data/%d", rogue, i), payload: body}, 1)
		}
		n.unharmed(s, func(int) func() {
			for _, packet := range packets {
				n.rogue.write(packet)
			}
			return nil
		})
		h.eventually(func() error {
			return errors.Join(atLeast("topics handled", handled.count(), messages), atLeast("topics told", told.count(), messages))
		})
	})
}
