package faultmatrix_test

import (
	"context"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Row 61: the handlers are slower than the broker, which sends far beyond the agreed window.
// No more messages than the bound are held; the connection stays open, and messages that the
// service publishes meanwhile are sent.
func TestFault_61_BrokerFasterThanHandlers(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const queue, messages = 64, 3000
		b := mqtttest.InProcess(h, testbroker.MaxInflight(65535), testbroker.MaxQueued(0))
		release := make(chan struct{})
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithKeepAlive(time.Second),
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{Queue: queue}))
		s.subscribe(h.name+"/data/+", func(_ context.Context, _, payload string) error {
			<-release
			h.rec.Handled(idOf([]byte(payload)))
			return nil
		}, mqttbroker.WithSubscribeTimeout(time.Minute))
		s.run()
		p := h.publisher(b.URL(), "-pub")
		l := p.load(nil)
		l.sendAll(h.name+"/data", 0, messages)
		l.succeeded()
		most := 0
		began := time.Now()
		for time.Since(began) < 3*time.Second { // three keep-alives
			health := s.health()
			most = max(most, health.Queued+health.Running)
			start := time.Now()
			if err := h.said.err(s.s.Publish(h.within(patience), h.name+"/other", broker.NewMessage([]byte("x")))); err != nil {
				h.Errorf("a publish beside it: %v", err)
			}
			if took := time.Since(start); took > time.Second+slack {
				h.Errorf("a publish beside it took %v", took)
			}
			pause(10 * time.Millisecond)
		}
		h.figure("most messages held with a queue of 64", most)
		if limit := 2*queue + 16; most > limit {
			h.Errorf("%d messages held, want %d at most", most, limit)
		}
		close(release)
		h.settled()
		if n := len(s.lost()); n > 0 {
			h.Errorf("%d connections lost", n)
		}
	})
}
