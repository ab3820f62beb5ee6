package session

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// engine.md "Suspected": a publish whose time ends at the instant of its
// acknowledgement returns the broker's answer.
func TestAcknowledgedInTheInstantOfGivingUp(t *testing.T) {
	t.Parallel()
	s := direct(t)
	c, _ := attached(t, s, true)
	call := s.calls.get()
	wait := limit{after: time.Minute, timers: &s.timers}
	defer wait.stop()
	out, err := s.send(t.Context(), &Message{Topic: "t", QoS: 1}, need{qos: 1}, call, &wait)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if ok, _ := call.wait(ctx, nil); ok { // the publisher has given up
		t.Fatal("acknowledged too early")
	}
	feed(t, c, puback(ids(s)[0])) // and the acknowledgement comes
	if unsent, over := s.out.abandon(out.slot, call); unsent || !over {
		t.Errorf("unsent %t, over %t", unsent, over)
	}
	if err := <-call.done; err != nil {
		t.Error(err)
	}
}

// [MQTT-3.2.2-4]: a session that is present although a new one was requested
// must not be used.
func TestSessionPresentAfterACleanStart(t *testing.T) {
	t.Parallel()
	url := mqtttest.ScriptedBroker(t, func(c net.Conn) {
		if _, err := mqtttest.ReadPacket(c); err == nil {
			_, _ = c.Write(mqtttest.ConnackPacket(4, true, 0))
			_, _ = mqtttest.ReadPacket(c)
		}
	}).URL()
	s := open(t, url, clean, reconnect(time.Hour, time.Hour))
	s.Start()
	e := asError(t, s.WaitAttempt(within(t, patience)), event.ReasonNetwork)
	if !strings.Contains(e.Error(), "MQTT-3.2.2-4") {
		t.Error(e)
	}
}

// Pauses grow until a connection was useful; a CONNACK alone is not enough.
func TestPausesGrowUntilAUsefulExchange(t *testing.T) {
	t.Parallel()
	s := direct(t, reconnect(time.Minute, time.Hour)) // no connection of the test lasts as long
	v := newSupervisor(s)
	end := func(useful bool) int {
		c, _ := attached(t, s, true)
		if useful {
			c.noteUse()
		}
		c.Closed(link.ErrNoPingresp)
		v.account(c)
		return v.failures
	}
	for n := 1; n <= 5; n++ {
		if got := end(false); got != n {
			t.Errorf("after %d useless connections: %d", n, got)
		}
	}
	if got := end(true); got != 1 {
		t.Errorf("after a useful one: %d", got)
	}
	if got := end(false); got != 2 {
		t.Errorf("and a useless one again: %d", got)
	}
}
