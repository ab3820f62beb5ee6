package delivery

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// ClearOf deletes what the broker retains of a device that is gone.
func ClearOf(ctx context.Context, srv *mqttserver.Server, device string) (operator.Outcome, error) {
	retained := operator.New(operator.Options{Retained: srv})
	page, err := retained.Retained(ctx, event.RetainedQuery{Filters: []string{"devices/" + device + "/#"}, Limit: 1000})
	if err != nil || len(page.Messages) == 0 {
		return operator.Outcome{}, err
	}
	gone := operator.RetainedClear{By: "cleanup"}
	for i := range page.Messages {
		gone.Topics = append(gone.Topics, page.Messages[i].Topic)
	}
	return retained.ClearRetained(ctx, gone)
}

func TestClearOf(t *testing.T) {
	t.Parallel()
	srv := mqttserver.NewServer(mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(connection(mqtttest.InProcess(t).URL(), "clear"))))
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop(context.WithoutCancel(t.Context())) })
	for _, topic := range []string{"devices/d1/name", "devices/d1/data", "devices/d2/data"} {
		if err := srv.Publish(t.Context(), topic, broker.NewMessage("x"), mqttbroker.WithPublishRetained(true)); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := ClearOf(t.Context(), srv, "d1"); err != nil || out.Done != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	if page, err := srv.Retained(t.Context(), event.RetainedQuery{Filters: []string{"#"}}); err != nil || len(page.Messages) != 1 {
		t.Errorf("%+v, %v", page, err)
	}
}
