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

// Row 33: the broker refuses the credentials, and accepts them later. At Start that is an
// error; while running the client retries slowly, and messages published meanwhile arrive.
// No secret is disclosed.
func TestFault_33_BadCredentials(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, slow = 100, 2 * time.Second
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		late := h.newPublisher(b.URL(), "-late")
		h.subscriber(b.URL(), "-sub", h.name+"/data/+")
		p := h.publisher(proxy.URL(), "-pub", mqttbroker.WithMaxReconnectInterval(slow))
		h.eventually(func() error { return eachConnected([]*spy{p.spy}, 1) })
		h.setPassword(b, "another password")
		proxy.Cut()
		h.eventually(func() error { return atLeast("refusals", notAuthorized(p.refused()), 1) })
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
		h.setPassword(b, planted.password)
		<-sent
		l.succeeded()
		h.settled()
		h.eventually(func() error { return h.said.err(late.connect()) })
	})
}

// setPassword changes the password that the broker accepts for the planted user, and waits
// until it is in effect.
func (h *harness) setPassword(b *mqtttest.MosquittoBroker, password string) {
	h.Helper()
	reloads := strings.Count(b.Log(), "Reloading config.")
	b.SetPassword(planted.user, password)
	b.Reload()
	h.eventually(func() error { return atLeast("reloads", strings.Count(b.Log(), "Reloading config."), reloads+1) })
}

// notAuthorized counts the attempts that the broker itself refused; others were cut.
func notAuthorized(list []stamped[event.ConnectAttemptInfo]) (n int) {
	for _, r := range list {
		if e, ok := errors.AsType[*event.Error](r.info.Err); ok && e.Reason == event.ReasonNotAuthorized {
			n++
		}
	}
	return n
}
