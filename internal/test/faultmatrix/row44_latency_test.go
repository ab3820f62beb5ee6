package faultmatrix_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 44: the round trip to the broker takes 200 ms, and the network stalls for a hundredth of
// the time. Publishing keeps its window full, and no connection ends despite short
// keep-alives.
func TestFault_44_Latency(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const (
			roundTrip = 200 * time.Millisecond
			window    = 64
			messages  = 1000
		)
		b := h.mosquitto(mqtttest.WithMaxInflight(window))
		proxy := mqtttest.NewProxy(h, b.URL())
		for _, d := range []mqtttest.Direction{mqtttest.ToBroker, mqtttest.ToClient} {
			proxy.Delay(d, roundTrip/2)
		}
		s := h.subscriber(proxy.URL(), "-sub", h.name+"/data/+", mqttbroker.WithKeepAlive(2*time.Second), mqttbroker.WithPingTimeout(2*time.Second))
		p := h.publisher(proxy.URL(), "-pub", mqttbroker.WithKeepAlive(2*time.Second), mqttbroker.WithPingTimeout(2*time.Second), mqttbroker.WithInFlight(window))
		p.must(h.name+"/data/0", id(messages))
		stop := h.stalls(proxy)
		l := p.load(nil)
		began := time.Now()
		l.sendAll(h.name+"/data", 0, messages)
		l.succeeded()
		rate := messages / time.Since(began).Seconds()
		stop()
		h.settled()
		possible := window / roundTrip.Seconds()
		h.figure("messages/s at 200 ms with a window of 64, which allows 320", int(rate))
		if rate < possible/5 { // one at a time would be 5/s; a busy machine adds to the round trip
			h.Errorf("%.0f messages/s, the window allows %.0f", rate, possible)
		}
		if n := len(s.lost()) + len(p.lost()); n > 0 {
			h.Errorf("%d connections were lost", n)
		}
	})
}

// stalls stops all traffic for 5 ms about every 500 ms.
func (h *harness) stalls(proxy *mqtttest.Proxy) (stop func()) {
	end := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		for {
			select {
			case <-end:
				return
			case <-time.After(250*time.Millisecond + rand.N(500*time.Millisecond)):
				proxy.Stall(true)
				pause(5 * time.Millisecond)
				proxy.Stall(false)
			}
		}
	})
	return func() { close(end); done.Wait() }
}
