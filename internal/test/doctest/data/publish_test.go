// Package data is the data layer that README.md and docs/guide/by-hand.md show.
package data

import (
	"context"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/wire"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

var ProviderSet = wire.NewSet(NewBroker, NewReportPublisher)

func NewBroker(c *kratosmqttv1.Connection, logger log.Logger) (*mqttbroker.Broker, func(), error) {
	b := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(c), mqttbroker.WithKratosLogger(logger))
	if err := b.Connect(); err != nil { // wrong settings; a broker that is down is not an error
		return nil, nil, err
	}
	return b, func() { _ = b.Disconnect() }, nil
}

type ReportPublisher struct {
	events reportv1.ReportEventsMQTTClient
}

func NewReportPublisher(b *mqttbroker.Broker) *ReportPublisher {
	return &ReportPublisher{reportv1.NewReportEventsMQTTClient(mqttbroker.NewClientConn(b))}
}

// Publish returns nil only after the broker's PUBACK.
func (p *ReportPublisher) Publish(ctx context.Context, e *reportv1.RealTimeWarehousingData) error {
	return p.events.SaveEventReport(ctx, e)
}
