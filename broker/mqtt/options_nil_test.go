package mqtt_test

import (
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// An option may read the broker that it is applied to.
func TestOptionReadsItsBroker(t *testing.T) {
	t.Parallel()
	b := mqttbroker.NewBroker(broker.WithAddress("mqtt://127.0.0.1:1"))
	done := make(chan error, 1)
	go func() {
		done <- b.Init(func(o *broker.Options) { o.Addrs = append(b.Options().Addrs, "mqtt://127.0.0.1:2") })
	}()
	if err := receive(t, done); err != nil {
		t.Fatal(err)
	}
	if got := b.Address(); got != "mqtt://127.0.0.1:1,mqtt://127.0.0.1:2" {
		t.Error(got)
	}
}

// A nil propagator is reported once, and not by a panic of each publish and handler.
func TestNilPropagator(t *testing.T) {
	t.Parallel()
	b := mqttbroker.NewBroker(broker.WithAddress(mqtttest.InProcess(t).URL()), broker.WithPropagator(nil))
	if err := b.Init(); event.ReasonOf(err) != event.ReasonBadRequest {
		t.Errorf("Init: %v", err)
	}
	if err := b.Publish(within(t, patience), "a", broker.NewMessage("x")); event.ReasonOf(err) != event.ReasonBadRequest {
		t.Errorf("Publish: %v", err)
	}
}
