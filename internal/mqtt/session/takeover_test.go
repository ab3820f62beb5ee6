package session

import (
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// T23: two clients with one id disconnect each other. After three losses within
// 5 s of CONNACK the session slows reconnecting, and its message contains the
// client id.
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

// The broker ends one connection after another: three are tolerated, and then
// the error names the likely cause.
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
	if err := s.Status().LastError; err != nil { // it may be connected again already
		if asError(t, err, event.ReasonTakenOver); !strings.Contains(err.Error(), `"shared id"`) {
			t.Error(err)
		}
	}
	ready(t, s)
}

// T20: resets are caused by the network, however many there are.
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

// A broker that restarts repeatedly ends short connections, too, but refuses
// connections in between. This must not count as a takeover, because a whole
// fleet would wait for the maximum delay.
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
