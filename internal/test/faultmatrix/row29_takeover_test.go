package faultmatrix_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 29: two clients use the same client id, and each disconnects the other. After three
// takeovers at most, one of them stays away and reports the client id.
func TestFault_29_Takeover(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := h.mosquitto()
		away := mqttbroker.WithMaxReconnectInterval(time.Minute)
		one := h.subscriber(b.URL(), "-same", h.name+"/data", away)
		// Another address represents another process: a process does not take over its own
		// session.
		two := h.newSubscriber(mqtttest.NewProxy(h, b.URL()).URL(), "-same", away)
		two.record(h.name + "/data")
		if err := two.start(); err != nil {
			h.Fatal(err)
		}
		both := []*subscriber{one, two}
		var loser *subscriber
		h.eventually(func() error {
			for _, s := range both {
				if e, ok := errors.AsType[*event.Error](s.health().LastError); ok && e.Reason == event.ReasonTakenOver {
					loser = s
					return nil
				}
			}
			return errors.New("nobody has given up")
		})
		err := loser.health().LastError
		if !strings.Contains(err.Error(), h.name+"-same") {
			h.Errorf("the error does not name the client id: %v", err)
		}
		logged := func() int { return h.said.logs("another client uses the client id") }
		h.eventually(func() error {
			if logged() == 0 {
				return errors.New("not logged")
			}
			return nil
		})
		fights := len(loser.connected())
		if fights > 3 {
			h.Errorf("%d connections before it gave up", fights)
		}
		pause(time.Second) // no more takeovers
		if n := len(loser.connected()); n != fights {
			h.Errorf("the fight goes on: %d connections, then %d", fights, n)
		}
		if n := logged(); n != 1 {
			h.Errorf("logged %d times", n)
		}
		winner := both[0]
		if loser == one {
			winner = two
		}
		winner.ready()
		h.publisher(b.URL(), "-pub").must(h.name+"/data", ids(0, 100)...)
		h.settled()
		h.Logf("given up after %d connections: %v", fights, err)
	})
}
