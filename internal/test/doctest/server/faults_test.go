package server

import (
	"strconv"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestLostAcknowledgement(t *testing.T) {
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	proxy.CutBefore(mqtttest.ToClient, mqtttest.TypePuback, 50) // the 50th PUBACK, and its connection
	count := mqtttest.NewRecorder()
	c := &kratosmqttv1.Connection{Addresses: []string{proxy.URL()}, ClientId: "saver"}
	srv := NewMQTTServer(c, &ReportEvents{repo: recorded{count}}, log.DefaultLogger)
	start(t, srv)
	for n := range 100 {
		id := strconv.Itoa(n)
		count.Attempted(id)
		event := &reportv1.RealTimeWarehousingData{EventId: id}
		if err := srv.Publish(t.Context(), "reports/event", broker.NewMessage(event)); err != nil {
			t.Fatal(err) // the session was kept, so the publisher heard of its message
		}
		count.Accepted(id)
	}
	mqtttest.Eventually(t, patience, func() error { return count.Report().Err() }) // what is lost, by id
}
