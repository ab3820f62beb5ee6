package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// gated is a publisher whose outbox waits for the subscriptions of a subscriber. Each
// has its own proxy to a broker that stores nothing.
type gated struct {
	server     *mqtttest.MosquittoBroker
	pub, sub   *mqtttest.Proxy
	publisher  *mqttbroker.Broker
	subscriber *mqttbroker.Broker
	store      outbox.Store
	got        <-chan seen
	topic      string
	out        *logs
}

func newGated(t *testing.T, protocol string) *gated {
	t.Helper()
	g := &gated{server: mqtttest.Mosquitto(t, mqtttest.WithConfig("persistence false")), store: memory(t, 0), topic: "gate/ours"}
	g.pub, g.sub = mqtttest.NewProxy(t, g.server.URL()), mqtttest.NewProxy(t, g.server.URL())
	g.subscriber = open(t, g.sub.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("sub"))
	g.got = subscribe(t, g.subscriber, "gate/#")
	g.publisher, g.out = logged(t, g.pub.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("pub"),
		mqttbroker.WithOutbox(g.store, mqttbroker.OutboxSubscriptions(g.subscriber)))
	if err := g.publisher.Connect(); err != nil {
		t.Fatal(err)
	}
	return g
}

// publish accepts n messages, numbered from first on.
func (g *gated) publish(t *testing.T, first, n int) {
	t.Helper()
	for i := range n {
		publish(t, g.publisher, g.topic, fmt.Sprint(first+i))
	}
}

// want receives n messages, numbered from first on, in any order and with any number of
// copies.
func (g *gated) want(t *testing.T, first, n int) {
	t.Helper()
	missing := make(map[string]bool, n)
	for i := range n {
		missing[fmt.Sprint(first+i)] = true
	}
	for len(missing) > 0 {
		delete(missing, strings.Trim(receive(t, g.got).body, `"`))
	}
	wantDepth(t, g.store, 0)
}

// held waits until the publisher is connected again and has n messages in its outbox.
func (g *gated) held(t *testing.T, n int) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		h := g.publisher.Health()
		if !h.Connected || !h.Outbox.GateClosed || h.Outbox.Depth != n {
			return fmt.Errorf("connected %t, held back %t, %d in the outbox, want %d", h.Connected, h.Outbox.GateClosed, h.Outbox.Depth, n)
		}
		return nil
	})
}

// Nothing is sent until the subscriptions of this process are granted in the current
// session.
func TestOutboxGateIsAskedPerSession(t *testing.T) {
	t.Parallel()
	bothProtocols(t, func(t *testing.T, protocol string) {
		g := newGated(t, protocol)
		g.publish(t, 0, 10)
		if h := g.publisher.Health().Outbox; !h.GateClosed {
			t.Error("open before anything is subscribed")
		}
		if err := g.subscriber.Connect(); err != nil {
			t.Fatal(err)
		}
		g.want(t, 0, 10)
		g.sub.Refuse(true)
		g.server.Stop()
		g.publish(t, 10, 10)
		g.server.Start()
		g.held(t, 10)
		g.sub.Refuse(false)
		g.want(t, 10, 10)
		if err := g.subscriber.Disconnect(); err != nil {
			t.Fatal(err)
		}
		g.publish(t, 20, 5)
		g.held(t, 5)
		if err := g.subscriber.Connect(); err != nil {
			t.Fatal(err)
		}
		g.want(t, 20, 5)
	})
}

// If missing subscriptions keep messages back for a long time, that is logged once.
func TestOutboxHeldBackIsLogged(t *testing.T) {
	t.Parallel()
	g := newGated(t, "5")
	g.publish(t, 0, 1)
	mqtttest.Eventually(t, patience, func() bool {
		return g.out.count("the outbox is held back error.message=the broker has not granted") == 1
	})
	if err := g.subscriber.Connect(); err != nil {
		t.Fatal(err)
	}
	g.want(t, 0, 1)
}

// The publisher is connected again before the subscriber notices that its own
// connection leads to a broker that has stopped.
func TestOutboxGateDoesNotTrustAnOldConnection(t *testing.T) {
	t.Parallel()
	bothProtocols(t, func(t *testing.T, protocol string) {
		g := newGated(t, protocol)
		if err := g.subscriber.Connect(); err != nil {
			t.Fatal(err)
		}
		g.publish(t, 0, 10)
		g.want(t, 0, 10)
		g.sub.Stall(true)
		g.server.Stop()
		g.publish(t, 10, 10)
		g.server.Start()
		g.held(t, 10)
		if !g.subscriber.Health().Connected {
			t.Fatal("the subscriber has noticed: this proves nothing")
		}
		g.sub.Stall(false)
		g.want(t, 10, 10)
	})
}

// Messages in flight must not be sent again by the connection that returns first: the
// broker would acknowledge them although nobody is subscribed.
func TestOutboxTakesNoAcknowledgementOfALostSession(t *testing.T) {
	t.Parallel()
	bothProtocols(t, func(t *testing.T, protocol string) {
		g := newGated(t, protocol)
		if err := g.subscriber.Connect(); err != nil {
			t.Fatal(err)
		}
		g.publish(t, 0, 1)
		g.want(t, 0, 1)
		g.pub.BlackHole(mqtttest.ToBroker, true)
		g.publish(t, 1, 10)
		mqtttest.Eventually(t, patience, func() bool { return g.publisher.Health().InFlight == 10 })
		g.sub.Refuse(true)
		g.pub.Refuse(true)
		g.server.Stop()
		acks := make(chan struct{}, 100)
		g.pub.Observe(func(o mqtttest.Observed) {
			if o.Type() == mqtttest.TypePuback {
				acks <- struct{}{}
			}
		})
		g.server.Start()
		g.pub.BlackHole(mqtttest.ToBroker, false)
		g.pub.Refuse(false)
		for range 10 {
			receive(t, acks)
		}
		g.held(t, 10)
		g.sub.Refuse(false)
		g.want(t, 1, 10)
	})
}

// A subscriber that resumes its session receives nothing twice.
func TestOutboxKeepsTheAcknowledgementsOfAKeptSession(t *testing.T) {
	t.Parallel()
	bothProtocols(t, func(t *testing.T, protocol string) {
		g := newGated(t, protocol)
		if err := g.subscriber.Connect(); err != nil {
			t.Fatal(err)
		}
		g.publish(t, 0, 1)
		g.want(t, 0, 1)
		release := make(chan struct{})
		g.pub.Observe(func(o mqtttest.Observed) {
			if o.Type() == mqtttest.TypePuback {
				<-release
			}
		})
		g.publish(t, 1, 1)
		if m := receive(t, g.got); strings.Trim(m.body, `"`) != "1" {
			t.Fatalf("got %s", m.body)
		}
		mqtttest.Eventually(t, patience, func() bool { return g.sub.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePuback) == 2 })
		g.sub.Refuse(true)
		g.sub.Cut()
		mqtttest.Eventually(t, patience, func() bool { return g.publisher.Health().Outbox.GateClosed })
		close(release)
		mqtttest.Eventually(t, patience, func() bool { return g.publisher.Health().InFlight == 0 })
		g.held(t, 1)
		g.sub.Refuse(false)
		wantDepth(t, g.store, 0)
		g.publish(t, 2, 1)
		if m := receive(t, g.got); strings.Trim(m.body, `"`) != "2" {
			t.Errorf("got %s twice", m.body)
		}
	})
}

// A gate that is a function is called again after each new publishing connection.
func TestOutboxGateFunctionIsAskedAgain(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
	asked, first, second := make(chan struct{}, 100), make(chan struct{}), make(chan struct{})
	var again atomic.Bool
	store := memory(t, 0)
	p := open(t, proxy.URL(), mqttbroker.WithOutbox(store, mqttbroker.OutboxGate(func(ctx context.Context) error {
		gate := first
		if again.Load() {
			gate = second
		}
		asked <- struct{}{}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})))
	publish(t, p, "a", "x")
	if err := p.Connect(); err != nil {
		t.Fatal(err)
	}
	receive(t, asked)
	close(first)
	wantDepth(t, store, 0)
	again.Store(true)
	for len(asked) > 0 {
		receive(t, asked)
	}
	proxy.Cut()
	receive(t, asked)
	publish(t, p, "a", "x")
	if h := p.Health().Outbox; !h.GateClosed || h.Depth != 1 {
		t.Errorf("%+v after a lost connection", h)
	}
	close(second)
	wantDepth(t, store, 0)
}

// A process that has ended its last subscription does not wait for subscriptions,
// neither after a reconnect nor after a restart.
func TestOutboxGateWithoutSubscriptions(t *testing.T) {
	t.Parallel()
	bothProtocols(t, func(t *testing.T, protocol string) {
		server := mqtttest.Mosquitto(t)
		proxy := mqtttest.NewProxy(t, server.URL())
		got := subscribe(t, connected(t, server.URL()), "gate/#")
		b := connected(t, proxy.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("last"),
			mqttbroker.WithOutbox(memory(t, 0), mqttbroker.OutboxOwnSubscriptions()))
		s, err := b.Subscribe("own", func(context.Context, broker.Event) error { return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Unsubscribe(true); err != nil {
			t.Fatal(err)
		}
		publish(t, b, "gate/1", "x")
		receive(t, got)
		before := proxy.Counts().Connections
		proxy.Cut()
		mqtttest.Eventually(t, patience, func() bool { return proxy.Counts().Connections == before+2 })
		publish(t, b, "gate/2", "x")
		receive(t, got)
		if err := b.Disconnect(); err != nil {
			t.Fatal(err)
		}
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		publish(t, b, "gate/3", "x")
		receive(t, got)
	})
}
