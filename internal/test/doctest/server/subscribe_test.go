// Package server is the server layer that README.md and docs/guide/by-hand.md show.
package server

import (
	"context"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware/logging"
	"github.com/google/wire"
	"google.golang.org/protobuf/types/known/emptypb"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

var ProviderSet = wire.NewSet(NewMQTTServer)

func NewMQTTServer(c *kratosmqttv1.Connection, reports *ReportEvents, logger log.Logger) *mqttserver.Server {
	srv := mqttserver.NewServer(
		mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(c), mqttbroker.WithServiceName("reports"), mqttbroker.WithKratosLogger(logger)),
		mqttserver.WithCodec("proto"), mqttserver.Middleware(logging.Server(mqttbroker.SafeLogger(logger))),
	)
	reportv1.RegisterReportEventsMQTTServer(srv, reports)
	return srv
}

// ReportEvents belongs to the service layer. Its shape is that of gRPC, so that one struct can serve HTTP, gRPC and MQTT.
type ReportEvents struct {
	reportv1.UnimplementedReportEventsServer
	repo Repo
}

// SaveEventReport acknowledges the message by returning nil. An error is retried, then dead-lettered.
func (s *ReportEvents) SaveEventReport(ctx context.Context, e *reportv1.RealTimeWarehousingData) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, s.repo.Save(ctx, e)
}
