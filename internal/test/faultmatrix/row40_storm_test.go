package faultmatrix_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// Row 40: a broker with 200 clients, half of them on each version, is down for some seconds.
// With the delays of a service they reconnect over at least five seconds, and never many at
// the same time.
func TestFault_40_ReconnectStorm(t *testing.T) {
	t.Parallel()
	const clients, outage, longest = 200, 6 * time.Second, 8 * time.Second
	h := newHarness(t, "5")
	b := h.mosquitto()
	spies := make([]*spy, clients)
	for i := range spies {
		h.version = [2]string{"3.1.1", "5"}[i%2]
		spies[i] = h.publisher(b.URL(), fmt.Sprintf("-%d", i), []broker.Option{
			mqttbroker.WithConnectRetryInterval(200 * time.Millisecond), mqttbroker.WithMaxReconnectInterval(30 * time.Second),
		}...).spy
	}
	h.version = "3.1.1 and 5"
	h.eventually(func() error { return eachConnected(spies, 1) })
	b.Stop()
	pause(outage)
	b.Start()
	opened := time.Now()
	for time.Since(opened) < longest && eachConnected(spies, 2) != nil {
		pause(20 * time.Millisecond)
	}
	var back spread
	for _, s := range spies {
		if at := s.connected(); len(at) > 1 {
			back = append(back, max(0, at[1].Sub(opened)))
		} else {
			back = append(back, longest)
		}
	}
	over, peak := back.at(1)-slices.Min(back), back.peak(500*time.Millisecond)
	h.figure(fmt.Sprintf("reconnect of %d clients after an outage of %v", clients, outage), back)
	h.figure("reconnect storm: spread", over.Round(time.Millisecond))
	h.figure("reconnect storm: most in half a second", peak)
	if over < 5*time.Second-time.Second {
		h.Errorf("all are back within %v", over)
	}
	if peak > clients*3/4 { // a machine that stalls for a moment causes a peak, too
		h.Errorf("%d clients came back within half a second", peak)
	}
}

// peak returns the largest number of times within one window.
func (s spread) peak(window time.Duration) (most int) {
	sorted := slices.Sorted(slices.Values(s))
	from := 0
	for to, d := range sorted {
		for sorted[from] < d-window {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}
