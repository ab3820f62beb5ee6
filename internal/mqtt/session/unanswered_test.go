package session

import (
	"sync/atomic"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A slow broker acknowledges several messages one after another. The short time between two of
// them does not make it a quick one; a minute of quick acknowledgements does.
func TestSlownessOutlastsABurst(t *testing.T) {
	t.Parallel()
	s, c := &stuck{}, &conn{}
	s.progress(c, 0)
	ended := uint64(0)
	acknowledged := func(looks int) int {
		ended++
		s.looks = looks
		s.progress(c, ended)
		return s.slow
	}
	const took = stuckLooks + 1
	acknowledged(took)
	for range 4 {
		if slow := acknowledged(1); slow <= took {
			t.Fatalf("gives up after %d looks, and the broker took %d", slow, took)
		}
	}
	for range longestLooks {
		acknowledged(1)
	}
	if s.slow > stuckLooks {
		t.Errorf("gives up a quick broker after %d looks, want %d", s.slow, stuckLooks)
	}
	if slow := acknowledged(longestLooks); slow != longestLooks {
		t.Errorf("gives up after %d looks, want %d at most", slow, longestLooks)
	}
}

// A relayed message that the broker does not acknowledge leaves the window
// after some seconds. Its packet id and its part of the quota become free when
// the acknowledgement arrives late or the connection ends.
func TestRelayedWithoutAcknowledgement(t *testing.T) {
	t.Parallel()
	const receiveMaximum, most, silent = 0x21, 8, 3
	var reached atomic.Int64
	url := scripted5(t, welcome(receiveMaximum, 0, most), func(p *peer5) {
		reached.Store(int64(p.n))
		var ids []uint16
		for {
			switch got := p.next().(type) {
			case *packets.Publish:
				switch got.Topic {
				case "silent":
					ids = append(ids, got.PacketID)
					continue
				case "settle":
					for _, id := range ids {
						p.send(ack(mqtttest.TypePuback, id))
					}
				}
				p.send(ack(mqtttest.TypePuback, got.PacketID))
			case nil, *packets.Disconnect:
				return
			}
		}
	})
	s := start(t, url, speaking(Version5), windowOf(4))
	relay := func(topic string, n int) []error {
		t.Helper()
		out := &outcomes{}
		for range n {
			if err := relay(within(t, patience), s, &Message{Topic: topic, QoS: 1}, out.add); err != nil {
				t.Fatal(err)
			}
		}
		return out.wait(t, n)
	}
	wantOwed := func(owed, quota int, ask uint8) {
		t.Helper()
		s.out.mu.Lock()
		defer s.out.mu.Unlock()
		o := &s.out
		if len(o.owing.owed) != owed || len(o.win.retired) != owed || o.quota != quota || o.owing.ask != ask {
			t.Errorf("%d owed, %d ids retired, quota %d, asks at %d; want %d, quota %d, %d",
				len(o.owing.owed), len(o.win.retired), o.quota, o.owing.ask, owed, quota, ask)
		}
	}
	gaveUp := func(n int) {
		t.Helper()
		for _, err := range relay("silent", n) {
			if e := asError(t, err, event.ReasonTimeout); !e.MayHaveBeenSent || e.Topic != "silent" {
				t.Errorf("%+v", e)
			}
		}
	}
	gaveUp(silent)
	wantOwed(silent, most-silent, 0)
	for _, err := range append(relay("free", 20), relay("settle", 1)...) {
		if err != nil {
			t.Fatal(err)
		}
	}
	wantOwed(0, most, 2*askLooks)
	gaveUp(most / 2) // too many for one connection
	mqtttest.Eventually(t, patience, func() bool { return reached.Load() == 2 })
	ready(t, s)
	if err := relay("free", 1)[0]; err != nil {
		t.Fatal(err)
	}
	wantOwed(0, most, askLooks)
}
