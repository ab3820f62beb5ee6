package data

import (
	"context"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

type Publisher struct{ broker *mqttbroker.Broker }

// Publish returns nil only after the broker's PUBACK.
func (p *Publisher) Publish(ctx context.Context, e *reportv1.RealTimeWarehousingData) error {
	return p.broker.Publish(ctx, "reports/event", broker.NewMessage(e), mqttbroker.WithCallOptions(event.ID(e.GetEventId())))
}

// TestByHand publishes as the guide shows.
func TestByHand(t *testing.T) {
	t.Parallel()
	b, cleanup, err := NewBroker(&kratosmqttv1.Connection{Addresses: []string{mqtttest.InProcess(t).URL()}}, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	arrived := make(chan *reportv1.RealTimeWarehousingData, 1)
	_, err = broker.Subscribe(b, "reports/event", func(_ context.Context, _ string, _ broker.Headers, e *reportv1.RealTimeWarehousingData) error {
		arrived <- e
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := (&Publisher{b}).Publish(t.Context(), &reportv1.RealTimeWarehousingData{EventId: "1"}); err != nil {
		t.Fatal(err)
	}
	select {
	case e := <-arrived:
		if e.EventId != "1" {
			t.Errorf("got %v", e)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing arrived")
	}
}
