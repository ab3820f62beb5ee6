package faultmatrix_test

import (
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 4: each step of the QoS 2 exchange is lost before a cut, between publisher and broker
// and between broker and subscriber. Nothing is lost, and with a dedup window nothing is
// handled twice, whatever the broker forgot.
func TestFault_04_QoS2StepLost(t *testing.T) {
	t.Parallel()
	steps := []struct {
		name string
		to   mqtttest.Direction
		kind mqtttest.PacketType
	}{
		{"PUBLISH", mqtttest.ToBroker, mqtttest.TypePublish},
		{"PUBREC", mqtttest.ToClient, mqtttest.TypePubrec},
		{"PUBREL", mqtttest.ToBroker, mqtttest.TypePubrel},
		{"PUBCOMP", mqtttest.ToClient, mqtttest.TypePubcomp},
	}
	eachVersion(t, func(h *harness) {
		const perRound, rounds = 15, 3
		b := h.mosquitto()
		suppressed := int64(0)
		for side, toSubscriber := range map[string]bool{"publisher": false, "subscriber": true} {
			proxy, other := mqtttest.NewProxy(h, b.URL()), b.URL()
			pubURL, subURL := proxy.URL(), other
			if toSubscriber {
				pubURL, subURL = other, proxy.URL()
			}
			topic := h.name + "/" + side
			s := h.newSubscriber(subURL, "-sub-"+side, append(h.carried(), mqttbroker.WithDedup(h.window()))...)
			s.record(topic+"/+", mqttbroker.WithSubscribeQos(2))
			s.run()
			p := h.publisher(pubURL, "-pub-"+side, append(h.carried(), mqttbroker.WithMessageIDs(true))...)
			first := map[bool]int{false: 0, true: 1_000_000}[toSubscriber]
			for i, step := range steps {
				to := step.to
				if toSubscriber {
					to = 1 - to // the broker is the sender
				}
				for round := range rounds {
					dropped := proxy.Counts().Dropped(to, step.kind)
					proxy.Drop(to, step.kind, perRound)
					l := p.load(nil)
					l.sendAll(topic, first+(i*rounds+round)*perRound, perRound, event.QoS(2))
					h.eventually(func() error {
						return atLeast("lost "+step.name, proxy.Counts().Dropped(to, step.kind)-dropped, perRound)
					}, "%s", side)
					proxy.Cut()
					l.succeeded()
					h.eventually(func() error { return h.rec.Report().Err() })
				}
			}
			suppressed += s.health().Duplicates
		}
		rep := h.settled()
		h.figure("QoS 2 with lost steps: handled twice, suppressed by the window", [2]int{rep.Duplicates, int(suppressed)})
		if rep.Duplicates > 0 {
			h.Errorf("handled twice: %v", rep.Duplicated)
		}
		if want := 2 * len(steps) * rounds * perRound; rep.Handled != want {
			h.Errorf("%d handled, want %d", rep.Handled, want)
		}
	})
}
