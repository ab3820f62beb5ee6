// Package server is the server layer that README.md shows.
package server

import (
	"context"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware/logging"
	"github.com/google/wire"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

var ProviderSet = wire.NewSet(NewMQTTServer)

func NewMQTTServer(c *kratosmqttv1.Connection, reports *ReportEvents, logger log.Logger) (*mqttserver.Server, error) {
	srv := mqttserver.NewServer(
		mqttserver.WithBrokerOptions(mqttbroker.WithConnection(c), mqttbroker.WithServiceName("reports"), mqttbroker.WithKratosLogger(logger)),
		mqttserver.WithCodec("proto"), mqttserver.Middleware(logging.Server(mqttbroker.SafeLogger(logger))),
	)
	return srv, mqttserver.RegisterSubscriber(srv, context.Background(), "reports/event", reports.Save)
}

type ReportEvents struct{ repo Repo } // of the service layer

// Save acknowledges the message by returning nil. An error is retried, then dead-lettered.
func (s *ReportEvents) Save(ctx context.Context, _ string, _ broker.Headers, e *reportv1.RealTimeWarehousingData) error {
	return s.repo.Save(ctx, e)
}
