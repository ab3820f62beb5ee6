package faultmatrix_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 10: the broker is killed with the default settings of its package, which save every
// half hour. Messages that it had acknowledged and not delivered are lost, and no others;
// the number of lost messages equals the number reported missing.
func TestFault_10_BrokerKilled(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const kills, delivered, kept, topics = 4, 80, 160, 8
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		s := h.subscriber(proxy.URL(), "-sub", h.name+"/data/+", h.numbered()...)
		p := h.publisher(b.URL(), "-pub", h.numbered()...)
		next := 0
		send := func(n int) {
			h.Helper()
			l := p.load(nil)
			l.sendAll(h.name+"/data", next, n)
			l.succeeded()
			next += n
		}
		for i := range kills {
			send(delivered)
			h.eventually(func() error { return atLeast("handled", h.rec.Report().Handled, (i+1)*delivered+i*topics) })
			proxy.Refuse(true)
			proxy.Cut()
			h.eventually(func() error { return atLeast("losses", len(s.lost()), i+1) })
			send(kept)
			b.Kill()
			b.Start()
			proxy.Refuse(false)
			h.eventually(func() error { return atLeast("sessions told to be lost", len(s.sessionsLost()), i+1) })
			s.ready()
			send(topics) // one message per topic reveals the missing ones before it
			h.eventually(func() error { return atLeast("handled", h.rec.Report().Handled, (i+1)*(delivered+topics)) })
		}
		rep := h.quiet()
		if len(rep.Lost) != kills*kept || len(rep.Unexpected) > 0 {
			h.Errorf("%v, want %d lost: those that the broker had kept", rep, kills*kept)
		}
		h.missingIs(s, len(rep.Lost))
		h.lossIsTold(s, kills)
		h.figure("killed broker, settings of its package: lost and told to be missing", [2]int{len(rep.Lost), int(s.health().Missing)})
	})
}
