package faultmatrix_test

import (
	"fmt"
	"sync/atomic"
	"testing"
)

// Row 71: one device requests replies on the topics of others, where it may not publish
// itself, and floods the service with requests. Nobody receives replies to requests of others,
// and the others get their replies.
func TestFault_71_RepliesToOthers(t *testing.T) {
	t.Parallel()
	h := newHarness(t, "5")
	n := h.newAsking()
	var own atomic.Int64
	n.rogue.subscribe("reply/"+rogue+"/#", func(arrival) { own.Add(1) })
	n.unharmed(n.service, func(first int) func() {
		for i := range 300 {
			of := n.devices[i%honest].name
			n.rogue.publish(ask(n.rogue, fmt.Sprintf("reply/%s/inbox", of), id(hostile+first+i)))
			n.rogue.publish(ask(n.rogue, fmt.Sprintf("reply/%s/inbox/deeper", of), id(hostile+first+i)))
			// The broker protects the topic: a direct publish of the hostile device does not
			// arrive.
			n.rogue.publish(wire{topic: "reply/" + of + "/inbox", correlation: id(hostile + first + i), payload: []byte("{}")})
			n.rogue.publish(ask(n.rogue, "reply/"+rogue+"/inbox", id(hostile+first+i)))
		}
		return nil
	})
	h.figure("replies on the topics of others", n.foreign.Load())
	if got := n.foreign.Load(); got > 0 {
		h.Errorf("%d replies on the topics of others", got)
	}
	h.eventually(func() error { return atLeast("replies where the hostile one may want them", int(own.Load()), 1) })
	n.named("devices/"+rogue+"/state/get", "reply/"+deviceName(0))
}
