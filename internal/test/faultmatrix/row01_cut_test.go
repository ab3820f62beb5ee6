package faultmatrix_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 1: the connection is cut at random packets while messages are published. No accepted
// message is lost, and a nil result always follows an acknowledgement.
func TestFault_01_CutMidPublish(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const rounds, perRound = 25, 80
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		w := watch(proxy)
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		p := h.publisher(proxy.URL(), "-pub")
		l := p.load(w)
		for i := range rounds {
			cutSomewhere(proxy, perRound)
			l.sendAll(h.name+"/data", i*perRound, perRound)
			h.eventually(func() error { return atLeast("connections", len(p.connected()), i+1) })
		}
		l.succeeded()
		rep := h.settled()
		if cuts := len(p.lost()); cuts < rounds/2 {
			h.Errorf("only %d connections were lost", cuts)
		}
		_, repeated := w.packets()
		if rep.Duplicates > repeated {
			h.Errorf("%d duplicates, but only %d packets were sent again", rep.Duplicates, repeated)
		}
		h.Logf("%d cuts, %d packets sent again", len(p.lost()), repeated)
	})
}

// cutSomewhere cuts a publisher's connection at one of its next n packets, in one of the
// possible ways.
func cutSomewhere(proxy *mqtttest.Proxy, n int) {
	at := 1 + rand.N(n)
	switch rand.N(6) {
	case 0:
		proxy.CutAfter(mqtttest.ToBroker, mqtttest.TypePublish, at)
	case 1:
		proxy.CutBefore(mqtttest.ToBroker, mqtttest.TypePublish, at)
	case 2:
		proxy.CutWithin(mqtttest.ToBroker, mqtttest.TypePublish, at)
	case 3:
		proxy.CutAfter(mqtttest.ToClient, mqtttest.TypePuback, at)
	case 4:
		proxy.CutBefore(mqtttest.ToClient, mqtttest.TypePuback, at)
	case 5:
		proxy.Cut()
	}
}

// atLeast returns an error if have is less than want.
func atLeast(what string, have, want int) error {
	if have < want {
		return fmt.Errorf("%d %s, want %d", have, what, want)
	}
	return nil
}
