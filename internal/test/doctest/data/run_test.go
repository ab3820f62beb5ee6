package data

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"go.uber.org/goleak"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ = ProviderSet

// TestPublish publishes through the providers that are shown.
func TestPublish(t *testing.T) {
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
	if err := NewReportPublisher(b).Publish(t.Context(), &reportv1.RealTimeWarehousingData{EventId: "1"}); err != nil {
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

// TestComments holds what the comments of the code say.
func TestComments(t *testing.T) {
	t.Parallel()
	if _, _, err := NewBroker(&kratosmqttv1.Connection{Addresses: []string{"http://127.0.0.1"}}, log.DefaultLogger); err == nil {
		t.Error("wrong settings are not an error")
	}
	down := mqtttest.InProcess(t)
	down.Stop()
	b, cleanup, err := NewBroker(&kratosmqttv1.Connection{Addresses: []string{down.URL()}}, log.DefaultLogger)
	if err != nil {
		t.Fatalf("a broker that is down is an error: %v", err)
	}
	t.Cleanup(cleanup)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err = NewReportPublisher(b).Publish(ctx, &reportv1.RealTimeWarehousingData{EventId: "1"})
	if e, ok := errors.AsType[*event.Error](err); !ok || e.Reason != event.ReasonNotConnected || e.MayHaveBeenSent {
		t.Errorf("publish while down: %v", err)
	}
	down.Start()
	if err := NewReportPublisher(b).Publish(t.Context(), &reportv1.RealTimeWarehousingData{EventId: "1"}); err != nil {
		t.Errorf("publish once the broker is up: %v", err)
	}
}
