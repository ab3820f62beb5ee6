package faultmatrix_test

import (
	"sync/atomic"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 56: messages that an outbox cannot accept, among others. Only they fail.
func TestFault_56_KeyThatNoStoreTakes(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.InProcess(h)
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
				}, event.OrderingKey("\xff"))
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
