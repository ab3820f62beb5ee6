package faultmatrix_test

import (
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 31: a broker refuses a filter. At Start that is an error with the filter and the
// broker's reason; on a later connection the client is not ready until the filter is
// granted.
func TestFault_31_SubscriptionRefused(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		code, reason := byte(0x80), event.ReasonRefused
		if h.five() {
			code, reason = 0x87, event.ReasonNotAuthorized
		}
		refuse := func(n int) bool { return n == 1 || n == 3 }
		fake := h.polite(func(n int, p mqtttest.Packet) []byte {
			if refuse(n) {
				return mqtttest.SubackPacket(h.level(), p.ID(), code)
			}
			return h.grant(n, p)
		}, nil)
		proxy := mqtttest.NewProxy(h, fake.URL())
		s := h.newSubscriber(proxy.URL(), "-sub")
		s.record(h.name + "/forbidden")
		refused := func(err error) {
			h.Helper()
			if e := h.wantReason(err, reason); e.Topic != h.name+"/forbidden" || e.Op != "subscribe" {
				h.Errorf("%+v", e)
			}
		}
		refused(s.start())
		if n := proxy.Open(); n > 0 {
			h.eventually(func() error { return atLeast("closed", 1-proxy.Open(), 1) })
		}
		s.run() // granted
		proxy.Cut()
		h.eventually(func() error { // refused on the next connection
			if s.health().LastError == nil {
				return errors.New("nobody has noticed")
			}
			return atLeast("refusals told to hooks", len(s.refusedFilters()), 2)
		})
		health := s.health()
		refused(health.LastError)
		if health.Ready || !health.Connected || health.Filters != 1 || health.Granted != 0 {
			h.Errorf("%+v", health)
		}
		proxy.Cut()
		s.ready()
		if health := s.health(); !health.Ready || health.LastError != nil {
			h.Errorf("%+v", health)
		}
	})
}
