package faultmatrix_test

import (
	"strings"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Row 50: the broker forwards a PUBLISH whose topic is not UTF-8, and delivers it again on
// each connection, as a broker that does not check texts would. It becomes a dead letter, the
// connection ends once or twice, and other messages are handled.
func TestFault_50_IllFormedText(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.InProcess(h)
		b.Inject(broker.Fault{
			Direction: broker.ToClient, Type: broker.Publish, Filter: broker.Topic(h.name + "/odd"),
			Do: broker.Rewrite(func(p broker.Packet) [][]byte {
				odd := p.Encode()
				i := strings.Index(string(odd), h.name+"/odd")
				copy(odd[i:], "\xff\xfe")
				return [][]byte{odd}
			}),
		})
		store := deadletter.NewMemory(0)
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(store))
		f := h.newFlow(s)
		s.record(h.name + "/odd")
		s.run()
		p := h.publisher(b.URL(), "-pub")
		f.unharmed(p, func() {
			if err := p.publish(h.within(patience), h.name+"/odd", id(1)); err != nil {
				h.Error(err)
			}
		})
		h.eventually(func() error { return atLeast("letters", len(h.lettersIn(store, deadletter.Dead)), 1) })
		if letters := h.lettersIn(store, deadletter.Dead); !strings.Contains(letters[0].Reason, "UTF-8") {
			h.Errorf("reason %q", letters[0].Reason)
		}
		if n := len(s.lost()); n < 1 || n > 3 {
			h.Errorf("%d connections lost for one message", n)
		}
	})
}
