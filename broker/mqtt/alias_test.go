package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// With topic aliases each topic is sent once per connection. Subscribers see no
// difference, even after a cut.
func TestTopicAliases(t *testing.T) {
	t.Parallel()
	const topics, each = 15, 20 // more topics than the 10 aliases that Mosquitto accepts
	b := mqtttest.Mosquitto(t)
	var (
		mu   sync.Mutex
		got  = make(map[string]int)
		long int // number of PUBLISH packets with a topic
	)
	s := connected(t, b.URL(), mqttbroker.WithProtocol("5"))
	if _, err := s.Subscribe("alias/+/topic", func(_ context.Context, e broker.Event) error {
		mu.Lock()
		defer mu.Unlock()
		got[e.Topic()]++
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	proxy := mqtttest.NewProxy(t, b.URL())
	proxy.Observe(func(o mqtttest.Observed) {
		if o.Direction == mqtttest.ToBroker && o.Packet.Type() == mqtttest.TypePublish && o.Packet.Topic() != "" {
			mu.Lock()
			long++
			mu.Unlock()
		}
	})
	p, err := mqttbroker.NewPublisher(broker.WithAddress(proxy.URL()), mqttbroker.WithProtocol("5"),
		mqttbroker.WithClientId("alias"), mqttbroker.WithTopicAliases(100))
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, patience)
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop(context.Background()) }()
	for i := range each {
		if i == each/2 {
			proxy.Cut()
		}
		for n := range topics {
			if err := p.Publish(ctx, fmt.Sprintf("alias/%d/topic", n), []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	mqtttest.Eventually(t, patience, func() error {
		mu.Lock()
		defer mu.Unlock()
		for n := range topics {
			if name := fmt.Sprintf("alias/%d/topic", n); got[name] < each {
				return fmt.Errorf("%s arrived %d times", name, got[name])
			}
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	if want := topics * each / 2; long > want {
		t.Errorf("%d of %d publishes carried their topic, want at most %d", long, topics*each, want)
	}
}

// Assigning an alias makes the first packet of a topic longer. The packet stays within
// the broker's limit, and a message that fits only without an alias is sent without
// one.
func TestTopicAliasWithinPacketLimit(t *testing.T) {
	t.Parallel()
	const limit = 100
	b := mqtttest.InProcess(t, testbroker.MaxPacket(limit), testbroker.AliasMaximum(1000))
	var largest, connections atomic.Int64
	b.Observe(func(o testbroker.Observed) {
		switch {
		case o.Direction == testbroker.ToBroker && o.Packet.Type() == testbroker.Connect:
			connections.Add(1)
		case o.Direction == testbroker.ToBroker && o.Packet.Type() == testbroker.Publish:
			largest.Store(max(largest.Load(), int64(len(o.Packet.Encode()))))
		}
	})
	p, err := mqttbroker.NewPublisher(broker.WithAddress(b.URL()), mqttbroker.WithProtocol("5"),
		mqttbroker.WithClientId("alias-limit"), mqttbroker.WithTopicAliases(1000))
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, patience)
	if err := p.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop(context.Background()) }()
	before := connections.Load()
	sent := 0
	for size := range limit {
		for _, qos := range []byte{0, 1} {
			topic := fmt.Sprintf("alias/limit/%d/%d", size, qos) // not sent on this connection before
			err := p.Publish(ctx, topic, make([]byte, size), event.QoS(qos))
			e, _ := errors.AsType[*event.Error](err)
			switch {
			case err == nil:
				sent++
			case e == nil || e.Reason != event.ReasonTooLarge:
				t.Fatalf("%d bytes: %v", size, err)
			}
		}
	}
	if err := p.Publish(ctx, "alias/limit", nil, event.QoS(1)); err != nil {
		t.Fatal(err)
	}
	if n := connections.Load() - before; n > 0 {
		t.Errorf("%d more connections", n)
	}
	if largest.Load() != limit || sent < limit {
		t.Errorf("largest packet of %d bytes, %d sent", largest.Load(), sent)
	}
}
