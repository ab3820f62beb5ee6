package server

import (
	"strconv"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/cluster"
)

func TestKilledNode(t *testing.T) {
	brokers := cluster.Scripted(t, 3, cluster.LikeNATS)
	count := mqtttest.NewRecorder()
	c := &kratosmqttv1.Connection{Addresses: cluster.URLs(brokers), ClientId: "saver"}
	srv := NewMQTTServer(c, &ReportEvents{repo: recorded{count}}, log.DefaultLogger)
	start(t, srv)
	for n := range 100 {
		if n == 50 {
			brokers.Kill(brokers.Broker.Sessions()[0].Node) // the node that the saver is connected to
		}
		id := strconv.Itoa(n)
		count.Attempted(id)
		event := &reportv1.RealTimeWarehousingData{EventId: id}
		if err := srv.Publish(t.Context(), "reports/event", broker.NewMessage(event)); err != nil {
			t.Fatal(err)
		}
		count.Accepted(id)
	}
	mqtttest.Eventually(t, patience, func() error { return count.Report().Err() })
}
