package faultmatrix_test

import (
	"context"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// Row 51: a message beyond all of our limits is a dead letter on both versions; the broker
// does not drop it because of a limit that we announced.
func TestFault_51_MessageTooLarge(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := h.mosquitto()
		store := deadletter.NewMemory(0)
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(store))
		f := h.newFlow(s)
		s.subscribe(h.name+"/large", func(context.Context, string, string) error {
			h.Error("the handler ran")
			return nil
		})
		s.run()
		p := h.publisher(b.URL(), "-pub")
		foreign := h.foreign(b.URL())
		f.unharmed(p, func() {
			for _, size := range []int{2 << 20, 8 << 20} {
				foreign(h.name+"/large", make([]byte, size))
			}
		})
		h.eventually(func() error { return atLeast("letters", len(h.lettersIn(store, deadletter.Dead)), 2) })
		if n := len(s.lost()); n > 0 {
			h.Errorf("%d connections lost", n)
		}
	})
}
