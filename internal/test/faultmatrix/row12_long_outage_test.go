package faultmatrix_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// Row 12: the broker is down for ten minutes of a clock that runs 240 times faster: 2.5 s,
// with reconnect delays of 1 ms to 125 ms. Messages are accepted all the time; memory does
// not grow with them, reconnect attempts are jittered and never further apart than the
// longest delay, and nothing is lost.
func TestFault_12_BrokerDownForTenMinutes(t *testing.T) {
	oneByOne(t, func(h *harness) {
		const (
			outage   = 10 * time.Minute / 240
			longest  = 30 * time.Second / 240
			messages = 8000
			size     = 4096
		)
		b := h.mosquitto()
		store, _ := h.fileOutbox(h.outboxPath(), 0)
		times := mqttbroker.WithConnectRetryInterval(200 * time.Millisecond / 240)
		most := mqttbroker.WithMaxReconnectInterval(longest)
		h.subscriber(b.URL(), "-sub", h.name+"/data", times, most)
		p := h.publisher(b.URL(), "-pub", mqttbroker.WithOutbox(store), times, most)
		h.eventually(func() error { return eachConnected([]*spy{p.spy}, 1) })
		goroutines := h.goroutines()
		b.Stop()
		began := time.Now()
		body := make([]byte, size-idLength)
		l := p.load(nil)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			for i := range messages {
				l.send(h.name+"/data", append(slices.Clip(body), id(i)...))
			}
		}()
		m := h.measure(func() int { return p.health().Outbox.Depth }, func() error {
			if left := outage - time.Since(began); left > 0 {
				return fmt.Errorf("%v of the outage left", left)
			}
			return nil
		})
		<-sent
		l.succeeded()
		if o := p.health().Outbox; o.Depth != messages {
			h.Errorf("%+v", o)
		}
		h.figure(fmt.Sprintf("ten minutes down, %d messages of %d bytes in the file outbox: live heap above before", messages, size), fmt.Sprintf("%.1f MiB", float64(m.heap)/mebi))
		if m.heap > 16*mebi || m.goroutines > goroutines+16 {
			h.Errorf("%d bytes of heap, %d goroutines before and %d at most", m.heap, goroutines, m.goroutines)
		}
		h.jittered(p.spy, longest)
		b.Start()
		p.emptied()
		h.settled()
	})
}

// jittered checks the pauses between attempts to connect.
func (h *harness) jittered(s *spy, longest time.Duration) {
	h.Helper()
	var pauses spread
	attempts := s.refused()
	for i := 1; i < len(attempts); i++ {
		pauses = append(pauses, attempts[i].at.Sub(attempts[i-1].at))
	}
	h.figure(fmt.Sprintf("pauses between attempts, at most %v", longest), pauses)
	if len(pauses) < 10 {
		h.Fatalf("%d attempts", len(attempts))
	}
	if most := pauses.at(1); most > longest+slack {
		h.Errorf("a pause of %v", most)
	}
	if pauses.at(0.25) > longest*2/3 || pauses.at(0.9) < longest/4 {
		h.Errorf("pauses are not spread: %v", pauses)
	}
}
