package faultmatrix_test

import (
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 13: the broker's process is suspended: sockets stay open, the system accepts new ones,
// and nothing answers. The client notices it as in row 7, goroutines do not accumulate, and
// nothing is lost.
func TestFault_13_BrokerStoppedInItsTracks(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const clients, messages, silence = 3, 200, 4 * time.Second
		b := h.mosquitto(mqtttest.WithMaxInflight(messages))
		spies := h.keptAlive(b.URL(), clients)
		p := h.publisher(b.URL(), "-load")
		p.must(h.name+"/data", id(messages))
		before := h.goroutines()
		b.Pause()
		began := time.Now()
		l := p.load(nil)
		sent := make(chan struct{})
		go func() { // publishes after the loss wait for the next connection
			defer close(sent)
			for i := range messages {
				l.send(h.name+"/data", []byte(id(i)))
			}
		}()
		h.eventually(func() error { return eachLost(spies) })
		var detected spread
		for _, s := range spies {
			detected = append(detected, s.lost()[0].at.Sub(began))
		}
		h.figure("broker stopped in its tracks, keep-alive 1s, ping timeout 500ms", detected)
		if bound := shortKeepAlive*3/2 + shortPingTimeout + slack; detected.at(1) > bound {
			h.Errorf("detected after %v, want %v", detected, bound)
		}
		most := 0
		for time.Since(began) < silence {
			most = max(most, h.goroutines())
			pause(100 * time.Millisecond)
		}
		h.figure("goroutines of 7 clients, before and at most while the broker is stopped", [2]int{before, most})
		if most > before+4*len(spies) {
			h.Errorf("%d goroutines before, %d while the broker is stopped", before, most)
		}
		b.Resume()
		<-sent
		l.succeeded()
		h.settled()
	})
}
