package session

import (
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// T23: two clients with one id throw each other out; after three losses within
// 5 s of CONNACK the fight is given up, with the client id in the message.
func TestT23_Takeover(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	var one, two journal
	cfg := []option{clientID("the same"), reconnect(time.Millisecond, 300*time.Millisecond)}
	start(t, b.URL(), append(cfg, to(&one))...)
	second := open(t, b.URL(), append(cfg, to(&two))...)
	second.Start()
	mqtttest.Eventually(t, patience, func() bool { return len(eventsOf[TakenOver](&one))+len(eventsOf[TakenOver](&two)) > 0 })
	for _, j := range []*journal{&one, &two} {
		for _, e := range eventsOf[TakenOver](j) {
			if e.Loss.ClientID != "the same" || e.RetryIn < 150*time.Millisecond || e.RetryIn > 300*time.Millisecond {
				t.Errorf("%+v", e)
			}
			if n := len(eventsOf[Connected](j)); n < takeoverLosses {
				t.Errorf("after %d connections", n)
			}
		}
	}
}

// The broker ends one connection after the other: three are tolerated, and the
// error says what it looks like.
func TestT23_TakeoverByCount(t *testing.T) {
	t.Parallel()
	url := scripted(t, true, func(p *peer) {
		if p.n > takeoverLosses {
			serveAll(p)
		}
	})
	var j journal
	s := open(t, url, clientID("shared id"), to(&j), reconnect(time.Millisecond, 50*time.Millisecond))
	s.Start()
	waitEvent[TakenOver](t, &j, 1)
	if n := len(eventsOf[ConnectionLost](&j)); n != takeoverLosses-1 {
		t.Errorf("%d losses before", n)
	}
	if err := s.Status().LastError; err != nil { // it may be connected again by now
		if asError(t, err, event.ReasonTakenOver); !strings.Contains(err.Error(), `"shared id"`) {
			t.Error(err)
		}
	}
	ready(t, s)
}

// T20: a reset is the network's doing, however often.
func TestT20_ResetsAreNoTakeover(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, b.URL())
	var j journal
	start(t, p.URL(), to(&j))
	for n := 2; n <= 3*takeoverLosses; n++ {
		p.Cut()
		waitEvent[Connected](t, &j, n)
	}
	if e := eventsOf[TakenOver](&j); len(e) != 0 {
		t.Errorf("%+v", e)
	}
}

// A broker that restarts again and again ends short connections, too, but
// between them it refuses: that is no takeover, or a whole fleet would stay
// away for the maximum delay.
func TestT23_RestartsAreNoTakeover(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	for name, protocol := range map[string]Protocol{"3.1.1": Version31, "5": Version5} {
		var j journal
		start(t, b.URL(), clientID("idle"+name), to(&j), reconnect(time.Millisecond, 50*time.Millisecond), speaking(protocol))
		for n := 2; n <= takeoverLosses+2; n++ {
			refused := len(eventsOf[ConnectFailed](&j))
			b.Stop()
			waitEvent[ConnectFailed](t, &j, refused+1)
			b.Start()
			waitEvent[Connected](t, &j, n)
		}
		if e := eventsOf[TakenOver](&j); len(e) != 0 {
			t.Errorf("MQTT %s: %+v", name, e)
		}
	}
}
