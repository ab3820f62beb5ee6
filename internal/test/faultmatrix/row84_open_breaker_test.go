package faultmatrix_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 84: the breaker of a subscription with its own session is open, with more messages than
// the window of the broker. The subscriptions of the shared session keep their rate.
func TestFault_84_OpenBreaker(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const waiting = 200 // ten windows of the broker
		b := mqtttest.InProcess(h)
		filter := h.name + "/bad/+"
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithBreaker(event.Breaker{Failures: 5, Pause: 100 * time.Millisecond}),
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{filter: {Session: "own"}}}))
		f := h.newFlow(s)
		var up atomic.Bool
		s.subscribe(filter, func(_ context.Context, _, payload string) error {
			if !up.Load() {
				return errDown
			}
			h.rec.Handled(idOf([]byte(payload)))
			return nil
		})
		s.run()
		p := h.publisher(b.URL(), "-pub")
		next := 0
		f.unharmed(p, func() {
			up.Store(false)
			l := p.load(nil)
			l.sendAll(h.name+"/bad", next, waiting)
			next += waiting
			l.succeeded()
			h.eventually(func() error {
				if pauses := s.health().Pauses; len(pauses) != 1 || len(pauses[0].AlsoWaiting) > 0 {
					return fmt.Errorf("pauses %+v", pauses)
				}
				return nil
			})
			pause(flowWindow / 2)
			up.Store(true)
		})
		if n := b.Dropped(); n > 0 {
			h.Errorf("the broker dropped %d", n)
		}
	})
}
