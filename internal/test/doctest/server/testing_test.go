package server

import (
	"context"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestSave(t *testing.T) {
	b := mqtttest.InProcess(t) // in this process, on a free port
	rows := make(memory, 1)
	c := &kratosmqttv1.Connection{Addresses: []string{b.URL()}}
	srv := NewMQTTServer(c, &ReportEvents{repo: rows}, log.DefaultLogger)
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer srv.Stop(context.Background())

	event := &reportv1.RealTimeWarehousingData{EventId: "1"}
	if err := srv.Publish(t.Context(), "reports/event", broker.NewMessage(event)); err != nil {
		t.Fatal(err)
	}
	if row := <-rows; row.EventId != "1" {
		t.Errorf("got %v", row)
	}
}
