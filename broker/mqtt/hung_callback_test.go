package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A callback that hangs delays asynchronous publishes only: a publish that waits for
// its outcome needs no callback.
func TestHangingCallbackLeavesOthersRoom(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p, err := mqttbroker.NewPublisher(broker.WithAddress(b.URL()), mqttbroker.WithProtocol("5"), mqttbroker.WithInFlight(8))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	defer func() { _ = p.Stop(context.Background()) }()
	defer close(release)
	for { // until callbacks take up the whole window
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := p.PublishAsync(ctx, "a", nil, func(error) { <-release })
		cancel()
		if err != nil {
			break
		}
	}
	for _, qos := range []event.CallOption{event.QoS(0), event.QoS(1), event.QoS(2)} {
		if err := p.Publish(within(t, patience), "a", nil, qos); err != nil {
			t.Error(err)
		}
	}
}

// A broker that never answers the UNSUBSCRIBE of one filter does not delay other
// filters, and the client does not end one connection after another because of it.
func TestUnsubscribeWithoutAnswer(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			forbid(b, testbroker.Unsubscribe, "silent", testbroker.Drop())
			spy := new(lossSpy)
			m, _ := logged(t, b.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithConnectTimeout(500*time.Millisecond),
				mqttbroker.WithHooks(spy))
			if err := m.Connect(); err != nil {
				t.Fatal(err)
			}
			s, err := m.Subscribe("silent", func(context.Context, broker.Event) error { return nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Unsubscribe(true); err != nil {
				t.Log(err)
			}
			got := subscribe(t, m, "other")
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			for ctx.Err() == nil {
				publish(t, m, "other", "x")
				receive(t, got)
			}
			if n := len(spy.all()); n > 2 {
				t.Errorf("%d connections lost", n)
			}
		})
	}
}
