package server

import (
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func TestQuota(t *testing.T) {
	b := mqtttest.InProcess(t)
	refused := b.Inject(testbroker.Fault{
		Direction: testbroker.ToBroker, Type: testbroker.Publish, Times: 2, Do: testbroker.Refuse(0x97), // quota exceeded
	})
	rows := make(memory, 1)
	c := &kratosmqttv1.Connection{Addresses: []string{b.URL()}, Protocol: "5"}
	srv := NewMQTTServer(c, &ReportEvents{repo: rows}, log.DefaultLogger)
	start(t, srv)
	event := &reportv1.RealTimeWarehousingData{EventId: "1"}
	if err := srv.Publish(t.Context(), "reports/event", broker.NewMessage(event)); err != nil {
		t.Fatal(err) // the third attempt went through
	}
	if row := <-rows; row.EventId != "1" || refused.Applied() != 2 || b.Dropped() != 0 {
		t.Errorf("got %v after %d refusals, the broker dropped %d", row, refused.Applied(), b.Dropped())
	}
}
