package faultmatrix_test

import (
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 2: the broker has the messages, but its acknowledgements are dropped, and then the
// connection is cut. A caller that waits gets nil after the acknowledgement of the second
// copy; a caller that stops waiting gets an error that the message may have been sent.
func TestFault_02_PubackLost(t *testing.T) {
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
			proxy.BlackHole(mqtttest.ToClient, true)
			before := proxy.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePublish)
			l.sendAll(h.name+"/data", i*perRound, perRound-1)
			h.givesUp(p, id(i*perRound+perRound-1), true)
			h.eventually(func() error {
				return atLeast("PUBLISH packets", proxy.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePublish)-before, perRound)
			})
			if n := l.progress(); n != i*(perRound-1) {
				h.Fatalf("round %d: %d outcomes, but no acknowledgement was let through since %d", i, n, i*(perRound-1))
			}
			proxy.Cut()
			proxy.BlackHole(mqtttest.ToClient, false)
			l.wait()
		}
		l.succeeded()
		rep := h.settled()
		h.eventually(func() error { return atLeast("recovered", len(h.rec.Report().Recovered), rounds) }, "who gave up was told right")
		if rep.Duplicates == 0 {
			h.Error("no duplicates, although every message was sent twice")
		}
	})
}

// givesUp publishes with a timeout that is too short for the fault. The error must report
// whether the message may have been sent.
func (h *harness) givesUp(p *publisher, id string, sent bool) {
	h.Helper()
	h.rec.Attempted(id)
	err := p.publish(h.within(100*time.Millisecond), h.name+"/data/late", id)
	if err == nil {
		h.rec.Accepted(id)
		h.Fatalf("publish of %s: nil", id)
	}
	if e := h.wantReason(err, event.ReasonTimeout, event.ReasonNotConnected); e.MayHaveBeenSent != sent {
		h.Errorf("may have been sent: %t, want %t: %v", e.MayHaveBeenSent, sent, err)
	}
}
