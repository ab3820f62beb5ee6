package faultmatrix_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const (
	shortKeepAlive   = time.Second
	shortPingTimeout = 500 * time.Millisecond
)

// Row 7: the network fails without a FIN while nothing is published. The client notices it
// within one and a half keep-alives plus the ping timeout, and messages published meanwhile
// arrive afterwards.
func TestFault_07_HalfOpenIdle(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const clients = 5 // of each kind, in different phases of their keep-alive
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		spies := h.keptAlive(proxy.URL(), clients)
		began := time.Now()
		proxy.Stall(true)
		h.eventually(func() error { return eachLost(spies) })
		var detected spread
		for _, s := range spies {
			detected = append(detected, s.lost()[0].at.Sub(began))
		}
		h.figure("half-open detection, idle, keep-alive 1s, ping timeout 500ms", detected)
		if bound := shortKeepAlive*3/2 + shortPingTimeout + slack; detected.at(1) > bound {
			h.Errorf("detected after %v, want %v", detected, bound)
		}
		proxy.Stall(false)
		proxy.Cut()
		h.eventually(func() error { return eachConnected(spies, 2) })
	})
}

// keptAlive connects subscribers and publishers with a short keep-alive, at intervals.
func (h *harness) keptAlive(url string, clients int) (spies []*spy) {
	h.Helper()
	opts := []broker.Option{mqttbroker.WithKeepAlive(shortKeepAlive), mqttbroker.WithPingTimeout(shortPingTimeout)}
	for i := range clients {
		s := h.subscriber(url, fmt.Sprintf("-sub-%d", i), h.name+"/data", opts...)
		pause(shortKeepAlive / time.Duration(clients) / 2)
		p := h.publisher(url, fmt.Sprintf("-pub-%d", i), opts...)
		h.eventually(func() error { return eachConnected([]*spy{p.spy}, 1) })
		pause(shortKeepAlive / time.Duration(clients) / 2)
		spies = append(spies, s.spy, p.spy)
	}
	return spies
}

func eachLost(spies []*spy) error {
	for i, s := range spies {
		if len(s.lost()) == 0 {
			return fmt.Errorf("client %d of %d has noticed nothing", i, len(spies))
		}
	}
	return nil
}

func eachConnected(spies []*spy, times int) error {
	for i, s := range spies {
		if n := len(s.connected()); n < times {
			return fmt.Errorf("client %d of %d: %d connections, want %d", i, len(spies), n, times)
		}
	}
	return nil
}
