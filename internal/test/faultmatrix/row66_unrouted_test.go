package faultmatrix_test

import (
	"sync"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Row 66: nobody subscribes to a topic. On MQTT 5 the broker reports it: it is counted, and an
// outbox with the policy retry keeps the message until somebody subscribes, while others are
// sent.
func TestFault_66_Unrouted(t *testing.T) {
	t.Parallel()
	h := newHarness(t, "5")
	b := h.mosquitto()
	s := h.newSubscriber(b.URL(), "-sub")
	f := h.newFlow(s)
	s.run()
	p := h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(h.memoryOutbox()))
	f.unharmed(p, sync.OnceFunc(func() {
		h.rec.Attempted(id(1))
		if err := p.publish(h.within(patience), h.name+"/nobody", id(1), event.RetryUnrouted(time.Minute)); err != nil {
			h.Error(err)
			return
		}
		h.rec.Accepted(id(1))
		h.eventually(func() error { return atLeast("closed keys", p.health().Outbox.ClosedKeys, 1) })
		s.record(h.name + "/nobody")
	}))
	p.emptied()
	if n := h.said.logs("no matching subscribers") + h.said.logs("unrouted") + h.said.logs("no subscriber"); n == 0 {
		h.Error("the log says nothing of it")
	}
}
