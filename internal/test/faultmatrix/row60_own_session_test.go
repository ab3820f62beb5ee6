package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 60: a subscription whose handler acknowledges nothing has its own session. The
// subscriptions of the shared session do not wait for it, and it loses nothing.
func TestFault_60_BlockedInItsOwnSession(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const blockedMessages = 200 // ten windows of the broker
		b := mqtttest.InProcess(h)
		filter := h.name + "/blocked"
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithSubscriberConfig(&v1.Subscriber{
			Subscriptions: map[string]*v1.Subscription{filter: {Session: "own"}},
		}))
		f := h.newFlow(s)
		var fixed atomic.Bool
		s.subscribe(filter, func(_ context.Context, _, payload string) error {
			if !fixed.Load() {
				return errors.New("the database is away")
			}
			h.rec.Handled(idOf([]byte(payload)))
			return nil
		}, append(quick(3), mqttbroker.WithSubscribeRetryBudget(50*time.Millisecond), mqttbroker.WithSubscribeExhausted(event.ExhaustedBlock))...)
		s.run()
		p := h.publisher(b.URL(), "-pub")
		l := p.load(nil)
		for i := range blockedMessages {
			l.send(filter, []byte(id(i)))
		}
		l.succeeded()
		f.p = p
		share := f.window(nil)
		h.figure("beside a blocked subscription with a session of its own are handled", fmt.Sprintf("%.0f %%", 100*share))
		if share < flowShare {
			h.Errorf("%.0f %% handled beside a blocked subscription", 100*share)
		}
		fixed.Store(true)
		h.settled()
		if n := b.Dropped(); n > 0 {
			h.Errorf("the broker dropped %d", n)
		}
	})
}
