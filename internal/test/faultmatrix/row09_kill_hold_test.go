package faultmatrix_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 9: a broker that saves a moment after it acknowledges is killed repeatedly. The outbox
// keeps acknowledged messages for longer than that moment, and sends them again after a
// loss: nothing is lost. FAULT_KILLS sets the number of kills.
func TestFault_09_KilledLazyBrokerHoldBack(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const hold, between = 500 * time.Millisecond, 900 * time.Millisecond
		kills := h.size("FAULT_KILLS", 5)
		b := h.mosquitto(mqtttest.WithConfig("autosave_on_changes true", "autosave_interval 1"))
		store, _ := h.fileOutbox(h.outboxPath(), 0)
		s := h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		p := h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(store, mqttbroker.OutboxKeepAcknowledged(hold)))
		stop, l := h.feed(p, 1)
		for i := range kills {
			h.eventually(func() error { return eachConnected([]*spy{s.spy, p.spy}, i+1) })
			pause(between + rand.N(between/2))
			b.Kill()
			b.Start()
		}
		s.ready()
		stop()
		l.succeeded()
		p.emptied()
		if lost := len(s.sessionsLost()); lost > 0 {
			h.lossIsTold(s, lost)
			return
		}
		rep := h.settled()
		h.figure(fmt.Sprintf("lazy broker killed %d times, hold-back %v: lost, duplicates of %d", kills, hold, rep.Accepted), [2]int{len(rep.Lost), rep.Duplicates})
	})
}
