package faults_test

import (
	"context"
	"errors"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/scripted"
)

// Row 58: the broker answers the SUBSCRIBE of one filter by ending the
// connection, and so it does when one comes later. That filter is refused,
// named and not tried without end; the others are granted.
func TestFault_58_SubscribeEndsConnection(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.NewScripted(h)
		forbidden := h.name + "/forbidden"
		cuts := b.Inject(scripted.Fault{Direction: scripted.ToBroker, Type: scripted.Subscribe, Filter: scripted.Topic(forbidden), Do: scripted.CutBefore()})
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
		f := h.newFlow(s)
		s.run()
		p := h.publisher(b.URL(), "-pub")
		f.unharmed(p, func() {
			ctx, cancel := context.WithTimeout(h.Context(), patience)
			defer cancel()
			err := s.s.RegisterSubscriber(ctx, forbidden, nothing, nil)
			if h.said.err(err) == nil {
				h.Error("the forbidden filter was granted")
			}
		})
		if n := cuts.Applied(); n > 5 {
			h.Errorf("%d connections ended for one filter", n)
		}
		h.noTakeover()
		if health := s.health(); !health.Connected {
			h.Errorf("%+v", health)
		}
	})
}

// Row 59: the first address of the list is down, wherever a connection begins.
func TestFault_59_FirstAddressDown(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.NewScripted(h)
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

// Row 65: the user's own functions hang or panic. A stop keeps to its time.
func TestFault_65_HangingCallback(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.NewScripted(h)
		asked, hang := make(chan struct{}, 100), make(chan struct{})
		h.Cleanup(func() { close(hang) })
		p := h.newPublisher(b.URL(), "-pub", mqttbroker.WithCredentials(func(context.Context) (string, string, error) {
			asked <- struct{}{}
			<-hang // whatever its context says
			return "", "", errors.New("too late")
		}))
		go func() { _ = p.connect() }()
		<-asked
		began := time.Now()
		_ = p.close(time.Second)
		if took := time.Since(began); took > time.Second+slack {
			h.Errorf("Close with a second took %v", took)
		}
		panics := h.newPublisher(b.URL(), "-panics", mqttbroker.WithCredentials(func(context.Context) (string, string, error) {
			panic("no credentials today")
		}))
		_ = panics.connect()
		if err := panics.close(time.Second); err != nil {
			h.Log(err)
		}
	})
}
