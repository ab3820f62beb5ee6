package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// hangingHook is an OutboxHook that does not return.
type hangingHook chan struct{}

func (h hangingHook) OnOutbox(event.OutboxInfo) { <-h }

// stopsWithin fails the test unless Stop returns when its context ends.
func stopsWithin(t *testing.T, b *mqttbroker.Broker) {
	t.Helper()
	ended := make(chan error, 1)
	ctx := within(t, 100*time.Millisecond)
	go func() { ended <- b.Stop(ctx) }()
	_ = receive(t, ended)
}

// A hook that hangs delays other hook calls, but no message. A stop does not wait for
// it.
func TestOutboxHookThatHangs(t *testing.T) {
	t.Parallel()
	url := aclBroker(t)
	hang := make(hangingHook)
	defer close(hang)
	got := subscribe(t, connected(t, url, mqttbroker.WithProtocol("5")), "allowed/#")
	store := memory(t, 3)
	b, _ := logged(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store), mqttbroker.WithHooks(hang))
	publish(t, b, "forbidden/1", "x")
	publish(t, b, "forbidden/2", "x")
	publish(t, b, "allowed/1", "x")
	wantReason(t, b.Publish(t.Context(), "allowed/2", broker.NewMessage("x")), event.ReasonOutboxFull, 503) // reported, too
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	receive(t, got)
	mqtttest.Eventually(t, patience, func() error { // refusals were reported
		if h := b.Health().Outbox; h.ClosedKeys != 2 {
			return fmt.Errorf("%+v", h)
		}
		return nil
	})
	wantDepth(t, store, 2)
	publish(t, b, "allowed/3", "x")
	receive(t, got)
	stopsWithin(t, b)
}

// A gate that ignores its context does not delay a stop, and is called again by the
// next start.
func TestOutboxGateThatHangs(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	asked, hang := make(chan struct{}, 2), make(chan error)
	got := subscribe(t, connected(t, url), "gate/hangs")
	b, _ := logged(t, url, mqttbroker.WithOutbox(memory(t, 0), mqttbroker.OutboxGate(func(context.Context) error {
		asked <- struct{}{}
		return <-hang
	})))
	publish(t, b, "gate/hangs", "x")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	receive(t, asked)
	stopsWithin(t, b)
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	receive(t, asked)
	hang <- nil // one of the two calls, then the other
	hang <- nil
	receive(t, got)
}
