package faultmatrix_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Row 16: a handler panics, at any QoS. It counts as an error: the process survives, the
// message is handled again, and the stack is logged.
func TestFault_16_Panic(t *testing.T) {
	t.Parallel()
	for qos := range byte(3) {
		t.Run(fmt.Sprintf("QoS %d", qos), func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				const messages = 50
				b := h.mosquitto()
				s := h.newSubscriber(b.URL(), "-sub")
				var mu sync.Mutex
				seen := make(map[string]int)
				s.subscribe(h.name+"/data/+", func(_ context.Context, _, payload string) error {
					id := idOf([]byte(payload))
					mu.Lock()
					seen[id]++
					first := seen[id] == 1
					mu.Unlock()
					if first {
						panic("boom " + id)
					}
					h.rec.Handled(id)
					return nil
				}, append(quick(5), mqttbroker.WithSubscribeQos(qos))...)
				s.run()
				l := h.publisher(b.URL(), "-pub").load(nil)
				l.sendAll(h.name+"/data", 0, messages, event.QoS(qos))
				l.succeeded()
				if rep := h.settled(); rep.Duplicates > 0 {
					h.Errorf("%d duplicates", rep.Duplicates)
				}
				if log := h.said.logged.String(); !strings.Contains(log, "panicked") || !strings.Contains(log, "row16_panic_test.go") {
					h.Error("the log has no stack")
				}
			})
		})
	}
}
