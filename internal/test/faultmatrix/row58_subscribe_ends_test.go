package faultmatrix_test

import (
	"context"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Row 58: the broker ends the connection for the SUBSCRIBE of one filter, at the start or when
// the filter is added later. That filter is refused, named and not retried for ever; the
// others are granted.
func TestFault_58_SubscribeEndsConnection(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.InProcess(h)
		forbidden := h.name + "/forbidden"
		cuts := b.Inject(broker.Fault{Direction: broker.ToBroker, Type: broker.Subscribe, Filter: broker.Topic(forbidden), Do: broker.CutBefore()})
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
		f := h.newFlow(s)
		s.run()
		p := h.publisher(b.URL(), "-pub")
		f.unharmed(p, func() {
			ctx, cancel := context.WithTimeout(h.Context(), patience)
			defer cancel()
			err := s.s.RegisterSubscriber(ctx, forbidden, nothing, nil)
			if h.said.err(err) == nil {
				h.Error("the forbidden filter was granted")
			}
		})
		if n := cuts.Applied(); n > mostEnds*int64(f.rounds) {
			h.Errorf("%d connections ended for one filter", n)
		}
		h.noTakeover()
		if health := s.health(); !health.Connected {
			h.Errorf("%+v", health)
		}
	})
}
