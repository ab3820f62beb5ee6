package faultmatrix_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 28: the broker's queue for an absent subscriber overflows; Mosquitto keeps
// acknowledging and drops messages. The number of lost messages equals the number reported
// missing.
func TestFault_28_BrokerQueueOverflow(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const limit, messages = 300, 1000
		b := h.mosquitto(mqtttest.WithConfig("max_queued_messages 300"))
		proxy := mqtttest.NewProxy(h, b.URL())
		s := h.subscriber(proxy.URL(), "-sub", h.name+"/data/+", h.numbered()...)
		p := h.publisher(b.URL(), "-pub", h.numbered()...)
		l := p.load(nil)
		l.sendAll(h.name+"/data", 0, 80)
		l.succeeded()
		h.settled()
		proxy.Refuse(true)
		proxy.Cut()
		h.eventually(func() error { return eachLost([]*spy{s.spy}) })
		l.sendAll(h.name+"/data", 80, messages)
		l.succeeded() // the broker acknowledges all of them
		proxy.Refuse(false)
		h.eventually(func() error { return eachConnected([]*spy{s.spy}, 2) })
		h.eventually(func() error { return atLeast("handled", h.rec.Report().Handled, 81) })
		h.quiet()
		last := ids(80+messages, 8) // one message per topic reveals the missing ones before it
		l.sendAll(h.name+"/data", 80+messages, 8)
		l.succeeded()
		h.eventually(func() error {
			if lost := h.rec.Report().Lost; slices.Contains(last, lost[len(lost)-1]) {
				return errors.New("the last have not arrived")
			}
			return nil
		})
		rep := h.quiet()
		if lost := len(rep.Lost); lost < (messages-limit)/2 {
			h.Errorf("%v: the queue did not overflow as meant", rep)
		}
		h.missingIs(s, len(rep.Lost))
		h.figure("broker's queue overflows: lost and told to be missing", [2]int{len(rep.Lost), int(s.health().Missing)})
	})
}
