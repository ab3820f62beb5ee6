package faultmatrix_test

import (
	"fmt"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 42: messages are duplicated: by the broker and by the publisher, which got no
// acknowledgement, and because they are published twice. The handler receives each once,
// and each suppressed duplicate is counted.
func TestFault_42_Duplicates(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const rounds, perRound = 12, 60
		b := h.mosquitto()
		for _, qos := range []byte{1, 2} {
			pubProxy, subProxy := mqtttest.NewProxy(h, b.URL()), mqtttest.NewProxy(h, b.URL())
			topic, kind := fmt.Sprintf("%s/%d", h.name, qos), fmt.Sprintf("-qos%d", qos)
			h.rec = mqtttest.NewRecorder()
			s := h.newSubscriber(subProxy.URL(), "-sub"+kind, append(h.carried(), mqttbroker.WithDedup(h.window()))...)
			s.record(topic+"/+", mqttbroker.WithSubscribeQos(qos))
			s.run()
			p := h.publisher(pubProxy.URL(), "-pub"+kind, h.carried()...)
			lost, answer := mqtttest.TypePuback, mqtttest.TypePuback
			if qos == 2 {
				lost, answer = mqtttest.TypePubrec, mqtttest.TypePubcomp
			}
			l := p.load(nil)
			for i := range rounds {
				pubProxy.CutBefore(mqtttest.ToClient, lost, 1+perRound/3)
				subProxy.CutBefore(mqtttest.ToBroker, answer, 1+perRound/4)
				for n := i * perRound; n < (i+1)*perRound; n++ {
					for range 1 + n%2 { // every other message is published twice
						l.send(fmt.Sprintf("%s/%d", topic, n%8), []byte(id(n)), messageID(id(n)), event.QoS(qos))
					}
				}
				h.eventually(func() error { return atLeast("connections", len(p.connected()), i+2) })
			}
			l.succeeded()
			h.settled()
			arrived := subProxy.Counts().Passed(mqtttest.ToClient, mqtttest.TypePublish)
			h.eventually(func() error {
				if n := int(s.health().Duplicates); n < rounds*perRound/2 || n != int(s.duplicate.Load()) {
					return fmt.Errorf("%d duplicates counted, hooks told of %d", n, s.duplicate.Load())
				}
				return nil
			})
			rep := h.rec.Report()
			if rep.Duplicates != 0 {
				h.Errorf("QoS %d: handled again: %d, first %v", qos, rep.Duplicates, rep.Duplicated[:min(3, len(rep.Duplicated))])
			}
			h.Logf("QoS %d: %d packets for %d messages, %d suppressed", qos, arrived, rep.Handled, s.health().Duplicates)
			if n := s.health().WithoutID; n != 0 {
				h.Errorf("%d messages without an id", n)
			}
		}
	})
}

// carried returns the options with which messages have an id: on MQTT 3.1.1 the id of a
// CloudEvent.
func (h *harness) carried() []broker.Option {
	if h.five() {
		return nil
	}
	return []broker.Option{mqttbroker.WithCloudEvents("/faults")}
}
