package mqtt_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestInit(t *testing.T) {
	t.Parallel()
	first, second := mqtttest.InProcess(t), mqtttest.InProcess(t)
	b := open(t, first.URL())
	handled := make(chan string, 10)
	sub, err := b.Subscribe("a", func(_ context.Context, e broker.Event) error {
		handled <- e.Topic()
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	wantReason(t, b.Init(), event.ReasonBadRequest, 400)
	wantReason(t, b.Init(broker.WithAddress(second.URL())), event.ReasonBadRequest, 400)
	if err := b.Disconnect(); err != nil {
		t.Fatal(err)
	}
	wantReason(t, b.Init(mqttbroker.WithProtocolVersion(9)), event.ReasonBadRequest, 400)
	if err := b.Init(broker.WithAddress(second.URL()), mqttbroker.WithProtocolVersion(4)); err != nil {
		t.Fatal(err)
	}
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "x") // at the second broker, received by the earlier subscription
	receive(t, handled)
	if err := sub.Unsubscribe(true); err != nil {
		t.Fatal(err)
	}
	for _, c := range second.Sessions() {
		if len(c.Filters) > 0 {
			t.Errorf("after Unsubscribe %s has %v", c.ClientID, c.Filters)
		}
	}
	mqtttest.Eventually(t, patience, func() bool { return len(first.Sessions()) == 0 }, "clients are left at the first broker")
}

func TestConnectAndDisconnectAgain(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	b := open(t, proxy.URL())
	got := subscribe(t, b, "a")
	if err := b.Disconnect(); err != nil {
		t.Errorf("disconnect before connect: %v", err)
	}
	for range 3 {
		before := proxy.Counts().Connections
		for range 2 {
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, b, "a", "x")
		receive(t, got)
		if n := proxy.Counts().Connections - before; n != 2 { // subscriber and publisher
			t.Errorf("%d connections, want 2", n)
		}
		for range 2 {
			if err := b.Disconnect(); err != nil {
				t.Fatal(err)
			}
		}
		mqtttest.Eventually(t, patience, func() bool { return proxy.Open() == 0 })
	}
}

func TestConnectWhileBrokerIsDown(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	server.Stop()
	t.Run("fail fast", func(t *testing.T) {
		b := open(t, server.URL(), mqttbroker.WithFailFast(true))
		wantReason(t, b.Connect(), event.ReasonNetwork, 503)
		wantReason(t, b.Publish(t.Context(), "a", broker.NewMessage("x")), event.ReasonNotConnected, 503)
	})
	t.Run("no reconnect", func(t *testing.T) {
		b := open(t, server.URL(), mqttbroker.WithAutoReconnect(false))
		_ = b.Connect()
		wantReason(t, b.Publish(within(t, time.Second), "a", broker.NewMessage("x")), event.ReasonNotConnected, 503)
	})
	t.Run("default", func(t *testing.T) {
		ups := make(chan struct{}, 10)
		b := connected(t, server.URL(), mqttbroker.WithOnConnect(func() { ups <- struct{}{}; panic("hook") }))
		got := subscribeLater(t, b, "a")
		server.Start()
		receive(t, ups)
		ready(t, b)
		publish(t, b, "a", "x")
		receive(t, got)
	})
}

// subscribeLater registers a subscription that no broker can grant yet.
func subscribeLater(t *testing.T, b *mqttbroker.Broker, filter string) <-chan seen {
	t.Helper()
	if err := b.Disconnect(); err != nil {
		t.Fatal(err)
	}
	got := subscribe(t, b, filter)
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, server mqtttest.Broker) {
		proxy := mqtttest.NewProxy(t, server.URL())
		lost := make(chan error, 10)
		b := open(t, proxy.URL(), mqttbroker.WithOnDisconnect(func(err error) { lost <- err; panic("hook") }))
		got := subscribe(t, b, "a")
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			publish(t, b, "a", "x")
			receive(t, got)
			proxy.Cut()
			wantReason(t, receive(t, lost), event.ReasonNetwork, 503)
			ready(t, b)
		}
		if err := b.Disconnect(); err != nil {
			t.Fatal(err)
		}
		if len(lost) > 0 {
			t.Errorf("Disconnect counts as a loss: %v", <-lost)
		}
	})
}

// ready waits until every filter is granted.
func ready(t testing.TB, b *mqttbroker.Broker) {
	t.Helper()
	if err := b.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
}

func TestDisconnectDuringOutage(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	b := connected(t, server.URL())
	got := subscribe(t, b, "a")
	publish(t, b, "a", "x")
	receive(t, got)
	server.Stop()
	started := time.Now()
	if err := b.Stop(within(t, patience)); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > patience/2 {
		t.Errorf("took %v", took)
	}
}

// All methods are called concurrently: there is no race and no deadlock.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	b := open(t, server.URL())
	ctx := within(t, 2*time.Second)
	var wg sync.WaitGroup
	for _, use := range []func(){
		func() { _ = b.Connect() },
		func() { _ = b.Disconnect() },
		func() { _ = b.Init(broker.WithCodec("json")) },
		func() { _ = b.Publish(ctx, "a", broker.NewMessage("x"), broker.WithPublishTimeout(time.Second)) },
		func() {
			if sub, err := b.Subscribe("a", nothing, nil); err == nil {
				_ = sub.Unsubscribe(true)
			}
		},
		func() { _, _ = b.Options(), b.Address() },
	} {
		wg.Go(func() {
			for range 20 {
				use()
			}
		})
	}
	wg.Wait()
}
