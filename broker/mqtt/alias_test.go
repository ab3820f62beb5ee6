package mqtt_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// With aliases a topic is on the wire once for each connection, and subscribers
// see no difference, also after a cut.
func TestTopicAliases(t *testing.T) {
	t.Parallel()
	const topics, each = 15, 20 // more topics than Mosquitto accepts aliases, which is 10
	b := mqtttest.Mosquitto(t)
	var (
		mu   sync.Mutex
		got  = make(map[string]int)
		long int // PUBLISH with a topic
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
	if err := p.Connect(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close(context.Background()) }()
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
