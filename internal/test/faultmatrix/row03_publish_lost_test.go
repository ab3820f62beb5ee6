package faultmatrix_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 3: published messages are dropped, and then the connection is cut. No publish
// returns nil before the broker has its message; the messages are sent again and arrive.
// The matrix requires 3.1.1, whose client library returns nil here.
func TestFault_03_PublishLost(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const rounds, perRound = 12, 50
		b := h.mosquitto(mqtttest.WithMaxInflight(2 * perRound)) // otherwise the broker accepts 20 at a time on MQTT 5
		proxy := mqtttest.NewProxy(h, b.URL())
		w := watch(proxy)
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		p := h.publisher(proxy.URL(), "-pub")
		l := p.load(w)
		for i := range rounds {
			proxy.BlackHole(mqtttest.ToBroker, true)
			before := proxy.Counts().Dropped(mqtttest.ToBroker, mqtttest.TypePublish)
			l.sendAll(h.name+"/data", i*perRound, perRound-1)
			h.givesUp(p, id(i*perRound+perRound-1), true)
			h.eventually(func() error {
				return atLeast("swallowed PUBLISH packets", proxy.Counts().Dropped(mqtttest.ToBroker, mqtttest.TypePublish)-before, perRound)
			})
			if n := l.progress(); n != i*(perRound-1) {
				h.Fatalf("round %d: %d outcomes for messages that nobody has", i, n-i*(perRound-1))
			}
			proxy.Cut()
			proxy.BlackHole(mqtttest.ToBroker, false)
			l.wait()
		}
		l.succeeded()
		if rep := h.settled(); rep.Handled < rounds*(perRound-1) {
			h.Error(rep)
		}
	})
}
