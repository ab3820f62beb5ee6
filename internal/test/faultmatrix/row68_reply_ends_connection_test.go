package faultmatrix_test

import (
	"encoding/binary"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
)

// ask returns a request for a device's state. Its correlation data is its id.
func ask(d *device, response, id string) wire {
	return wire{topic: "devices/" + d.name + "/state/get", id: id, response: response, correlation: id, payload: []byte("{}")}
}

// asking are devices that send requests. A request counts as handled when its reply has
// arrived at its device. Only MQTT 5 supports this.
type asking struct {
	*neighbours
	service *subscriber
	foreign atomic.Int64 // replies that an honest device did not ask for
}

func (h *harness) newAsking() *asking {
	h.Helper()
	a := &asking{neighbours: h.newNeighbours()}
	a.service = h.newSubscriber(a.broker.URL(), "")
	devicev1.RegisterDeviceEventsMQTTServer(a.service.s, &deviceEvents{})
	a.service.run()
	a.join()
	inbox := func(d *device) string { return "reply/" + d.name + "/inbox" }
	for _, d := range a.devices {
		d.subscribe("reply/"+d.name+"/#", func(reply arrival) {
			if reply.topic != inbox(d) || number(reply.correlation()) >= hostile {
				a.foreign.Add(1)
				return
			}
			a.handled(reply.correlation())
		})
	}
	a.send = func(d *device, i int) { d.publish(ask(d, inbox(d), id(i))) }
	return a
}

// Row 68: one device requests replies on topics for which the broker ends the connection of
// their publisher. No connection of the service ends, and the others get their replies.
func TestFault_68_ReplyThatEndsConnections(t *testing.T) {
	t.Parallel()
	h := newHarness(t, "5")
	n := h.newAsking()
	n.unharmed(n.service, func(first int) func() {
		for i := range 20 {
			// Mosquitto ends the connection for more than 200 levels.
			n.rogue.publish(ask(n.rogue, "reply/"+rogue+strings.Repeat("/x", 205+i), id(hostile+first+i)))
		}
		return nil
	})
	n.named("devices/"+rogue+"/state/get", "reply/"+rogue)
	if health := n.service.health(); health.RepliesDropped < 20 || health.Parked > 0 || health.LastError != nil {
		h.Errorf("%d replies were dropped, %d messages are parked, %v", health.RepliesDropped, health.Parked, health.LastError)
	}
}

// number returns the number in the id of a message.
func number(id string) int {
	if len(id) != idLength {
		return -1
	}
	i, err := strconv.Atoi(id[3:])
	if err != nil {
		return -1
	}
	return i
}

// correlation returns the correlation data of a reply.
func (a arrival) correlation() string {
	text := func(b []byte) (value, rest []byte) {
		if len(b) < 2 {
			return nil, nil
		}
		n := min(len(b)-2, int(binary.BigEndian.Uint16(b)))
		return b[2 : 2+n], b[2+n:]
	}
	for list := a.properties; len(list) > 0; {
		id := list[0]
		list = list[1:]
		switch id {
		case 0x01: // payload format
			list = list[min(1, len(list)):]
		case 0x02: // expiry
			list = list[min(4, len(list)):]
		case 0x26: // user property
			_, list = text(list)
			_, list = text(list)
		case 0x09:
			value, _ := text(list)
			return string(value)
		default: // content type, response topic
			_, list = text(list)
		}
	}
	return ""
}
