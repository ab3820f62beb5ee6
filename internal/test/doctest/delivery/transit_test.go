package delivery

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// TestQoS0InTransitIsLost loses a message of QoS 0 between publisher and broker: Publish has
// returned nil, and only the message after it arrives.
func TestQoS0InTransitIsLost(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	proxy := mqtttest.NewProxy(t, b.URL())
	arrived := subscribed(t, b.URL(), "transit")
	p, err := mqttbroker.NewPublisher(broker.WithAddress(proxy.URL()), broker.WithCodec("json"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.WithoutCancel(t.Context())) })
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Drop(mqtttest.ToBroker, mqtttest.TypePublish, 1)
	for _, id := range []string{"lost", "kept"} {
		if err := p.Publish(t.Context(), "transit", []byte(`{"id":"`+id+`"}`), event.QoS(0)); err != nil {
			t.Fatal(err)
		}
	}
	if got := receive(t, arrived); got.ID != "kept" {
		t.Errorf("got %+v, want the message after the lost one", got)
	}
	if n := proxy.Counts().Dropped(mqtttest.ToBroker, mqtttest.TypePublish); n != 1 {
		t.Errorf("%d messages were dropped, want 1", n)
	}
}
