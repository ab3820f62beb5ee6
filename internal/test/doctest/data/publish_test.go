// Package data is the data layer that README.md shows.
package data

import (
	"context"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/wire"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

var ProviderSet = wire.NewSet(NewBroker, NewReportPublisher)

func NewBroker(c *kratosmqttv1.Connection, logger log.Logger) (*mqttbroker.Broker, func(), error) {
	b := mqttbroker.NewBroker(mqttbroker.WithConnection(c), broker.WithCodec("proto"), mqttbroker.WithKratosLogger(logger))
	if err := b.Connect(); err != nil { // wrong settings; a broker that is down is no error
		return nil, nil, err
	}
	return b, func() { _ = b.Disconnect() }, nil
}

type ReportPublisher struct{ broker *mqttbroker.Broker }

func NewReportPublisher(b *mqttbroker.Broker) *ReportPublisher { return &ReportPublisher{b} }

// Publish returns nil only after the broker's PUBACK.
func (p *ReportPublisher) Publish(ctx context.Context, e *reportv1.RealTimeWarehousingData) error {
	return p.broker.Publish(ctx, "reports/event", broker.NewMessage(e))
}
