package faultmatrix_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 25: the broker loses its data while it keeps messages for a subscriber that is away.
// They are lost, which the subscriber reports to the hook, by a count and in the log; it
// subscribes again, messages published from then on arrive, and the publisher's sequence
// shows exactly how many are missing.
func TestFault_25_SessionLost(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const kept, later = 300, 300
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		s := h.subscriber(proxy.URL(), "-sub", h.name+"/data", h.numbered()...)
		p := h.publisher(b.URL(), "-pub", h.numbered()...)
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
		if n := len(h.rec.Report().Lost); n != kept {
			h.Errorf("%d lost, want %d: the fault did not happen as meant", n, kept)
		}
		h.lossIsTold(s, 1)
		if info := s.sessionsLost()[0]; info != (event.SessionLostInfo{ClientID: h.name + "-sub"}) {
			h.Errorf("%+v", info)
		}
		before := h.rec.Report()
		h.rec = mqtttest.NewRecorder()
		p.must(h.name+"/data", ids(2000, later)...)
		h.settled()
		h.missingIs(s, len(before.Lost))
		if health := s.health(); !health.Ready || health.LastError != nil {
			h.Errorf("%+v", health)
		}
	})
}
