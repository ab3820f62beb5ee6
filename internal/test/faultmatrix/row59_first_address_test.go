package faultmatrix_test

import (
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 59: the first address of the list is down, for every kind of connection.
func TestFault_59_FirstAddressDown(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.InProcess(h)
		down := mqtttest.NewProxy(h, b.URL())
		down.Refuse(true)
		s := h.newSubscriber(down.URL(), "-sub", mqttbroker.WithFailFast(true), alsoAt(b.URL()))
		s.record(h.name + "/data/+")
		if err := s.start(); err != nil {
			h.Fatal(err)
		}
		if !s.health().Ready {
			h.Error("Start returned before the second address was tried")
		}
		p := h.publisher(b.URL(), "-pub")
		l := p.load(nil)
		l.sendAll(h.name+"/data", 0, 20) // at once after Start
		l.succeeded()
		h.settled()
	})
}
