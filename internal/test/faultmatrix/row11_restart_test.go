package faultmatrix_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 11: the broker is shut down and started again under load, with the reconnect delays of
// a service. No message and no session is lost: Mosquitto 2.0.11 does not save an MQTT 5
// session whose CONNECT had Clean Start, so sessions that must be kept are created without.
// Between outages the broker is up for as long as each client was away, so that no outage
// counts for the next one.
func TestFault_11_BrokerRestart(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const restarts, perRestart, idle = 3, 300, 20
		const shortest = 200 * time.Millisecond
		const outage = 600 * time.Millisecond // longer than any first pause: three short connections in a row are a takeover
		b := h.mosquitto()
		away := time.Now()
		normal := []broker.Option{
			mqttbroker.WithConnectRetryInterval(shortest), mqttbroker.WithMaxReconnectInterval(30 * time.Second),
		}
		s := h.subscriber(b.URL(), "-sub", h.name+"/data/+", normal...)
		p := h.publisher(b.URL(), "-pub", normal...)
		spies := []*spy{s.spy, p.spy}
		for i := range idle {
			spies = append(spies, h.publisher(b.URL(), fmt.Sprintf("-idle-%d", i), normal...).spy)
		}
		l := p.load(nil)
		var back spread
		for i := range restarts {
			h.eventually(func() error { return eachConnected(spies, i+1) })
			pause(max(2*shortest, time.Since(away)))
			l.sendAll(h.name+"/data", i*perRestart, perRestart/2)
			away = time.Now()
			b.Stop()
			var down sync.WaitGroup // a publish waits for the connection
			down.Go(func() { l.sendAll(h.name+"/data", i*perRestart+perRestart/2, perRestart/2) })
			pause(outage)
			b.Start()
			open := time.Now()
			h.eventually(func() error { return eachConnected(spies, i+2) })
			down.Wait()
			for _, s := range spies {
				back = append(back, max(0, s.connected()[i+1].Sub(open)))
			}
		}
		l.succeeded()
		h.figure("reconnect after the broker is back, outage 600ms", back)
		if back.at(0.99) > 2*time.Second+slack {
			h.Errorf("reconnected after %v", back)
		}
		s.ready()
		p.must(h.name+"/data/end", id(restarts*perRestart))
		if n := len(s.sessionsLost()); n > 0 {
			h.Errorf("%d sessions lost", n)
		}
		h.settled()
	})
}

// lossIsTold checks that a subscriber reports the loss of n sessions, which explains the
// missing messages.
func (h *harness) lossIsTold(s *subscriber, n int) {
	h.Helper()
	h.lossIsToldOf("-sub", s, n)
}

func (h *harness) lossIsToldOf(id string, s *subscriber, n int) {
	h.Helper()
	h.eventually(func() error { return atLeast("sessions told to be lost", len(s.sessionsLost()), n) })
	if have := int(s.health().SessionsLost); have != n {
		h.Errorf("health counts %d lost sessions, want %d", have, n)
	}
	if have := h.said.logs("publishes have an unknown outcome messaging.client.id=" + h.name + id + " "); have != n {
		h.Errorf("the log tells of %d lost sessions, want %d", have, n)
	}
	rep := h.quiet()
	h.Logf("%v, after %d lost sessions that were told", rep, n)
}

// quiet waits until no more messages arrive, for rows in which some never will.
func (h *harness) quiet() mqtttest.Report {
	last, since := h.rec.Report(), time.Now()
	h.eventually(func() error {
		if rep := h.rec.Report(); rep.Handled != last.Handled || rep.Duplicates != last.Duplicates {
			last, since = rep, time.Now()
		}
		if time.Since(since) < 300*time.Millisecond && last.Err() != nil {
			return fmt.Errorf("%v, and more arrives", last)
		}
		return nil
	})
	return last
}
