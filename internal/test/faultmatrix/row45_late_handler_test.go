package faultmatrix_test

import (
	"fmt"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 45: a restarted service receives its backlog before the handler for it is registered.
// The backlog waits for the handler, and other messages do not wait for it.
func TestFault_45_HandlerRegisteredLate(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const backlog = 10 // of a window of 20
		b := mqtttest.InProcess(h)
		first := h.newSubscriber(b.URL(), "-sub")
		first.record(h.name + "/late/+")
		first.run()
		if err := first.stop(patience); err != nil {
			h.Fatal(err)
		}
		p := h.publisher(b.URL(), "-pub")
		l := p.load(nil)
		l.sendAll(h.name+"/late", 0, backlog)
		l.succeeded()
		s := h.newSubscriber(b.URL(), "-sub")
		f := h.newFlow(s)
		f.p = p
		s.run()
		share := f.window(func() { s.record(h.name + "/late/+") })
		h.figure("what has nothing to do with the late handler keeps", fmt.Sprintf("%.0f %%", 100*share))
		if share < flowShare {
			h.Errorf("%.0f %% are handled in time", 100*share)
		}
		h.settled()
		if n := b.Dropped(); n > 0 {
			h.Errorf("the broker dropped %d", n)
		}
	})
}

// Row 46: a new version has other filters or another group than the version that the backlog
// was queued for. On MQTT 5 the messages carry the identifier of the old subscription.
func TestFault_46_FilterOrGroupChanged(t *testing.T) {
	t.Parallel()
	for name, filters := range map[string][2]string{
		"wider filter": {"/data/+", "/data/#"},
		"new group":    {"/data/+", "$share/savers//data/+"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				const backlog = 10
				b := h.mosquitto()
				old := h.newSubscriber(b.URL(), "-sub")
				old.record(h.name + filters[0])
				old.run()
				if err := old.stop(patience); err != nil {
					h.Fatal(err)
				}
				p := h.publisher(b.URL(), "-pub")
				l := p.load(nil)
				l.sendAll(h.name+"/data", 0, backlog)
				l.succeeded()
				s := h.newSubscriber(b.URL(), "-sub")
				f := h.newFlow(s)
				s.record(h.filter(filters[1]))
				s.run()
				f.unharmed(p, nil)
			})
		})
	}
}

// filter returns a filter below the name of the row; a group stays in front.
func (h *harness) filter(below string) string {
	const group = "$share/savers/"
	if len(below) > len(group) && below[:len(group)] == group {
		return group + h.name + below[len(group):]
	}
	return h.name + below
}

// A message without any handler becomes a dead letter after a while, and delays no other
// message until then.
func TestFault_45_NobodySubscribesAnyMore(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := h.mosquitto()
		first := h.newSubscriber(b.URL(), "-sub")
		first.record(h.name + "/gone")
		first.run()
		if err := first.stop(patience); err != nil {
			h.Fatal(err)
		}
		p := h.publisher(b.URL(), "-pub")
		if err := p.publish(h.within(patience), h.name+"/gone", id(1)); err != nil {
			h.Fatal(err)
		}
		store := deadletter.NewMemory(0)
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(store), unmatchedGrace(flowWindow))
		f := h.newFlow(s)
		s.run()
		f.unharmed(p, nil)
		h.eventually(func() error { return atLeast("letters", len(h.lettersIn(store, deadletter.Dead)), 1) })
		letters := h.lettersIn(store, deadletter.Dead)
		if len(letters) != 1 || letters[0].Topic != h.name+"/gone" || string(letters[0].Payload) != id(1) || letters[0].Reason != "no subscription" {
			h.Errorf("%+v", letters)
		}
	})
}
