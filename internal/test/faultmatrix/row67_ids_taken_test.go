package faultmatrix_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// reading is a message with its id in a field.
type reading struct {
	ID   string `json:"id"`
	Mark string `json:"mark"` // identifies the message for the verdict
}

// identified is a place for the ids of messages.
type identified struct {
	on []string // versions of MQTT
	// message returns the n-th message of a device.
	message func(d *device, n int) wire
}

func (i identified) versions() []string { return i.on }

// Row 67: one device sends the ids that others are about to use, on its own topic. Ids count
// within their topic, so the ids of the others are different ones.
func TestFault_67_IdsTakenByANeighbour(t *testing.T) {
	t.Parallel()
	data := func(d *device) string { return "devices/" + d.name + "/data" }
	eachWay(t, map[string]identified{
		"in a field": {[]string{"3.1.1", "5"}, func(d *device, n int) wire {
			return wire{topic: data(d), id: id(n), payload: fmt.Appendf(nil, `{"id":"reading-%d","mark":%q}`, n, id(n))}
		}},
		"in a header": {[]string{"5"}, func(d *device, n int) wire {
			return wire{
				topic: data(d), id: id(n), headers: [][2]string{{"id", fmt.Sprintf("reading-%d", n)}},
				payload: fmt.Appendf(nil, `{"mark":%q}`, id(n)),
			}
		}},
		"of CloudEvents": {[]string{"3.1.1", "5"}, func(d *device, n int) wire {
			inner := wire{topic: data(d), payload: fmt.Appendf(nil, `{"mark":%q}`, id(n)), headers: [][2]string{
				{"id", fmt.Sprintf("reading-%d", n)}, {"source", "/" + d.name},
			}}
			return wire{topic: data(d), id: id(n), contentType: message.TypeEvent, payload: inner.cloudEvent()}
		}},
	}, func(h *harness, way identified) {
		window, err := dedup.NewMemory(dedup.MemoryOptions{})
		if err != nil {
			h.Fatal(err)
		}
		n := h.newNeighbours()
		n.send = func(d *device, i int) { d.publish(way.message(d, i)) }
		foreign := new(honestDuplicates)
		s := h.newSubscriber(n.broker.URL(), "", mqttbroker.WithDedup(window), mqttbroker.WithCloudEvents("/faults"), mqttbroker.WithHooks(foreign))
		err = mqttserver.RegisterSubscriber(s.s, h.Context(), "devices/+/data",
			func(_ context.Context, topic string, _ broker.Headers, r *reading) error {
				if topic != "devices/"+rogue+"/data" {
					n.handled(r.Mark)
				}
				return nil
			}, mqttbroker.WithSubscribeCodec("json"), mqttbroker.WithSubscribeIDField("id"))
		if h.said.err(err) != nil {
			h.Fatal(err)
		}
		s.run()
		n.unharmed(s, func(first int) func() {
			for i := range 2 * meanwhile {
				n.rogue.publish(way.message(n.rogue, first+i))
			}
			return nil
		})
		if k := foreign.Load(); k > 0 {
			h.Errorf("%d messages of honest devices were taken for duplicates", k)
		}
	})
}

// honestDuplicates counts suppressed messages of honest devices.
type honestDuplicates struct{ atomic.Int64 }

func (d *honestDuplicates) OnDuplicate(i event.DuplicateInfo) {
	if i.Topic != "devices/"+rogue+"/data" {
		d.Add(1)
	}
}
