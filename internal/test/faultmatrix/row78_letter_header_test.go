package faultmatrix_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Row 78: one device sends CloudEvents with the header of dead letters. The header has no
// meaning on other topics: the handler receives the data of the event, and its id counts. MQTT
// 3.1.1 has no headers.
func TestFault_78_HeaderOfLetters(t *testing.T) {
	t.Parallel()
	h := newHarness(t, "5")
	const messages = 50
	window, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		h.Fatal(err)
	}
	n := h.newNeighbours()
	s := h.newSubscriber(n.broker.URL(), "", mqttbroker.WithDedup(window))
	var envelopes, effects, rounds atomic.Int64
	err = mqttserver.RegisterSubscriber(s.s, h.Context(), "devices/+/data",
		func(_ context.Context, topic string, _ broker.Headers, r *reading) error {
			switch {
			case topic != "devices/"+rogue+"/data":
				n.handled(r.Mark)
			case r.Mark == "envelope":
				envelopes.Add(1)
			default:
				effects.Add(1)
			}
			return nil
		}, mqttbroker.WithSubscribeCodec("json"))
	if h.said.err(err) != nil {
		h.Fatal(err)
	}
	s.run()
	event := func(d *device, i int, headers ...[2]string) wire {
		return wire{
			topic: "devices/" + d.name + "/data", id: id(i), contentType: message.TypeEvent, headers: headers,
			payload: fmt.Appendf(nil, `{"specversion":"1.0","id":%q,"source":"/%s","type":"reading","mark":"envelope","data":{"mark":%q}}`, id(i), d.name, id(i)),
		}
	}
	n.send = func(d *device, i int) { d.publish(event(d, i)) }
	n.unharmed(s, func(first int) func() {
		rounds.Add(1)
		for i := range 2 * messages { // each twice
			n.rogue.publish(event(n.rogue, hostile+first+i/2, [2]string{"dead-letter-id", fmt.Sprint(i)}))
		}
		return nil
	})
	want := messages * rounds.Load()
	n.soon(func() bool { return effects.Load() >= want && s.health().Duplicates >= want })
	h.figure("envelopes that a handler got", envelopes.Load())
	if k := envelopes.Load(); k > 0 {
		h.Errorf("%d times the handler got the event for its data", k)
	}
	if effects.Load() != want || s.health().Duplicates != want {
		h.Errorf("%d effects and %d duplicates, want %d of each", effects.Load(), s.health().Duplicates, want)
	}
}
