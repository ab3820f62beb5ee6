package faultmatrix_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 30: one of two members of a shared subscription dies. Mosquitto keeps assigning it its
// share for as long as it keeps its session. On MQTT 3.1.1 that is for ever: the share waits
// until the member comes back. On MQTT 5 the session expires: from then on the other member
// receives everything, and the broker discards what it kept for the dead one.
func TestFault_30_SharedMemberDies(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, expiry = 400, 2 * time.Second
		b := h.mosquitto(mqtttest.WithMaxInflight(messages))
		proxy := mqtttest.NewProxy(h, b.URL())
		member := func(url, id string) *subscriber {
			s := h.newSubscriber(url, id, mqttbroker.WithSessionExpiry(expiry))
			s.subscribe(h.name+"/data/+", func(_ context.Context, _, payload string) error {
				h.rec.Handled(idOf([]byte(payload)))
				return nil
			}, broker.WithSubscribeQueueName("group"))
			s.run()
			return s
		}
		dying, living := member(proxy.URL(), "-dying"), member(b.URL(), "-living")
		p := h.publisher(b.URL(), "-pub")
		send := func(first int) {
			l := p.load(nil)
			l.sendAll(h.name+"/data", first, messages)
			l.succeeded()
		}
		send(0)
		h.settled()
		if d, l := dying.attempts.Load(), living.attempts.Load(); d == 0 || l == 0 {
			h.Fatalf("shared %d to %d", d, l)
		}

		proxy.Refuse(true)
		proxy.Cut()
		died := time.Now()
		h.eventually(func() error { return eachLost([]*spy{dying.spy}) })
		send(messages)
		share := len(h.quiet().Lost)
		h.figure(fmt.Sprintf("shared subscription: kept for a dead member, of %d", messages), share)
		if !h.five() {
			proxy.Refuse(false)
			dying.ready()
			h.settled()
			return
		}
		pause(expiry + 2*time.Second - time.Since(died)) // the broker looks every second
		h.rec = mqtttest.NewRecorder()
		send(2 * messages)
		h.settled()
		proxy.Refuse(false)
		dying.ready()
		h.lossIsToldOf("-dying", dying, 1)
		h.rec = mqtttest.NewRecorder()
		send(3 * messages)
		h.settled()
	})
}
