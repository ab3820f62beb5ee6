package delivery

import (
	"context"
	"testing"
	"time"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Remind sends a report in a day, unless Forget is called before.
func Remind(ctx context.Context, events reportv1.ReportEventsMQTTClient, e *reportv1.RealTimeWarehousingData) error {
	return events.SaveEventReport(ctx, e, event.After(24*time.Hour), event.ID("reminder-"+e.GetEventId()))
}

// Forget reports whether the reminder was cancelled: it is false if it was sent already.
func Forget(ctx context.Context, b *mqttbroker.Broker, eventID string) (bool, error) {
	n, err := b.CancelDelayed(ctx, "reminder-"+eventID)
	return n > 0, err
}

func TestRemind(t *testing.T) {
	t.Parallel()
	store, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	b := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(connection(mqtttest.InProcess(t).URL(), "remind")), mqttbroker.WithOutbox(store))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	events := reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))
	if err := Remind(t.Context(), events, &reportv1.RealTimeWarehousingData{EventId: "7"}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if canceled, err := Forget(t.Context(), b, "7"); err != nil || canceled != want {
			t.Errorf("cancelled: %v, %v; want %v", canceled, err, want)
		}
	}
}
