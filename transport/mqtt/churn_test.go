package mqtt_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Subscriptions of tenants are added and removed, including the last one, while the
// connection is cut repeatedly. The server becomes ready again. engine.md D7.
func TestReadinessSurvivesChurn(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	proxy := mqtttest.NewProxy(t, url)
	b := mqttbroker.NewBroker(broker.WithAddress(proxy.URL()), broker.WithCodec("json"), mqttbroker.WithClientId("churn"),
		mqttbroker.WithProtocol("5"), mqttbroker.WithConnectRetryInterval(time.Millisecond), mqttbroker.WithMaxReconnectInterval(5*time.Millisecond))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	for round := range 30 {
		var all sync.WaitGroup
		for _, filter := range []string{"a/+", "b/+", "c/+"} {
			all.Go(func() {
				s, err := b.Subscribe(filter, func(context.Context, broker.Event) error { return nil }, nil)
				if err != nil {
					t.Errorf("subscribe: %v", err)
					return
				}
				if err := s.Unsubscribe(true); err != nil {
					t.Logf("unsubscribe: %v", err) // cut off meanwhile
				}
			})
		}
		if round%3 == 0 {
			proxy.Cut()
		}
		all.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		err := b.WaitReady(ctx)
		cancel()
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}
