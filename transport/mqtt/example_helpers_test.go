package mqtt_test

import (
	"io"

	"github.com/go-kratos/kratos/v2/log"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// listen starts a broker that stands for the one of the service.
func listen() (c *kratosmqttv1.Connection, end func()) {
	b, err := testbroker.Listen()
	check(err)
	return &kratosmqttv1.Connection{Addresses: []string{b.URL()}}, b.Close
}

// reports returns the client with which a data layer publishes. Here it sends through the server.
func reports(srv *mqttserver.Server) reportv1.ReportEventsMQTTClient {
	return reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(srv.Broker()))
}

// quiet is a logger that writes nothing.
func quiet() log.Logger { return log.NewStdLogger(io.Discard) }

func newReports() *Reports { return &Reports{saved: make(chan *reportv1.RealTimeWarehousingData, 100)} }
