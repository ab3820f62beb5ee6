package faults_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 33: the broker does not accept the credentials, and later it does. At
// Start that is an error; while running it is tried again, slowly, and what was
// published meanwhile arrives. No secret is told on the way.
func TestFault_33_BadCredentials(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, slow = 100, 2 * time.Second
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		other := func() {
			b.SetPassword(planted.user, "another password")
			b.Reload()
			h.eventually(func() error { return atLeast("reloads", strings.Count(b.Log(), "Reloading config."), 1) })
		}
		right := func() {
			b.SetPassword(planted.user, planted.password)
			b.Reload()
		}

		late := h.newPublisher(b.URL(), "-late")
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		p := h.publisher(proxy.URL(), "-pub", mqttbroker.WithMaxReconnectInterval(slow))
		h.eventually(func() error { return eachConnected([]*spy{p.spy}, 1) })
		other()
		h.eventually(func() error { // the broker reloads some time after the signal
			proxy.Cut()
			return atLeast("refusals", notAuthorized(p.refused()), 1)
		})
		h.wantReason(late.connect(), event.ReasonNotAuthorized)
		refusals := notAuthorized(p.refused())
		h.eventually(func() error { return atLeast("refusals", notAuthorized(p.refused()), refusals+1) })
		h.wantReason(p.health().LastError, event.ReasonNotAuthorized)
		l := p.load(nil)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			l.sendAll(h.name+"/data", 0, messages)
		}()
		before := len(p.refused())
		pause(slow)
		if n := len(p.refused()) - before; n > 8 {
			h.Errorf("%d attempts in %v with credentials that were refused", n, slow)
		}
		for _, r := range p.refused()[before:] { // those before may have been cut
			h.wantReason(r.info.Err, event.ReasonNotAuthorized)
		}
		right()
		<-sent
		l.succeeded()
		h.settled()
		h.eventually(func() error { return h.said.err(late.connect()) })
	})
}

// notAuthorized counts the attempts that the broker itself refused: others were
// cut.
func notAuthorized(list []stamped[event.ConnectInfo]) (n int) {
	for _, r := range list {
		if e, ok := errors.AsType[*event.Error](r.info.Err); ok && e.Reason == event.ReasonNotAuthorized {
			n++
		}
	}
	return n
}
