package faults_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 25: the broker loses its data while a subscriber is away that it has kept
// messages for. They are gone, which the subscriber tells by hook, count and
// log; it subscribes again, and what is published from then on arrives.
func TestFault_25_SessionLost(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const kept, later = 300, 300
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		s := h.subscriber(proxy.URL(), "-sub", h.name+"/data")
		p := h.publisher(b.URL(), "-pub")
		p.must(h.name+"/data", ids(0, 10)...)
		h.settled()
		proxy.Refuse(true)
		proxy.Cut()
		h.eventually(func() error { return eachLost([]*spy{s.spy}) })
		p.must(h.name+"/data", ids(1000, kept)...)

		b.Stop()
		if err := os.Remove(filepath.Join(b.Dir(), "mosquitto.db")); err != nil {
			h.Fatal(err)
		}
		b.Start()
		proxy.Refuse(false)
		s.ready()
		h.eventually(func() error { return eachConnected([]*spy{s.spy, p.spy}, 2) })
		if lost := len(h.rec.Report().Lost); lost != kept {
			h.Errorf("%d lost, want %d: the fault did not happen as meant", lost, kept)
		}
		h.lossIsTold(s, 1)
		if info := s.sessionsLost()[0]; info != (event.SessionLostInfo{ClientID: h.name + "-sub"}) {
			h.Errorf("%+v", info)
		}
		h.rec = mqtttest.NewRecorder()
		p.must(h.name+"/data", ids(2000, later)...)
		h.settled()
		if health := s.health(); !health.Ready || health.LastError != nil {
			h.Errorf("%+v", health)
		}
	})
}
