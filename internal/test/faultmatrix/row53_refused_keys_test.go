package faultmatrix_test

import (
	"fmt"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Row 53: the broker refuses thousands of topics of an outbox. Only their own keys are closed,
// and an operator sees how many they are and why.
func TestFault_53_KeysRefused(t *testing.T) {
	t.Parallel()
	h := newHarness(t, "5") // MQTT 3.1.1 cannot refuse a PUBLISH
	const keys = 3000
	b := mqtttest.InProcess(h)
	refused := func(topic string) bool {
		return len(topic) > len(h.name)+8 && topic[len(h.name):len(h.name)+8] == "/refused"
	}
	b.Inject(broker.Fault{Direction: broker.ToBroker, Type: broker.Publish, Filter: refused, Do: broker.Refuse(0x87)})
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
	h.eventually(func() error { return atLeast("closed keys", p.health().Outbox.ClosedKeys, keys) })
	_ = p.close(time.Second) // the refused ones stay in the outbox
	if n := h.said.logs("0x87") + h.said.logs("not authorized"); n == 0 || n > 10 {
		h.Errorf("%d lines about %d refused topics", n, keys)
	}
}
