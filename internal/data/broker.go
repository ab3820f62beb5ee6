package data

import (
	"fmt"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// NewBroker returns the publishing side of the MQTT connection. It does not
// wait for the broker: a publish does. The returned function waits for what is
// in flight and disconnects.
func NewBroker(connection *kratosmqttv1.Connection, c *conf.MQTT, logger log.Logger) (broker.Broker, func(), error) {
	b := mqttbroker.NewBroker(
		broker.WithCodec("proto"),
		mqttbroker.WithConnection(connection),
		mqttbroker.WithPublisher(c.GetPublisher()),
		mqttbroker.WithKratosLogger(logger),
	)
	if err := b.Init(); err != nil {
		return nil, nil, fmt.Errorf("MQTT publisher: %w", err)
	}
	if err := b.Connect(); err != nil {
		return nil, nil, fmt.Errorf("MQTT publisher: %w", err)
	}
	cleanup := func() {
		if err := b.Disconnect(); err != nil {
			log.NewHelper(logger).Errorf("disconnect the MQTT publisher: %v", err)
		}
	}
	return b, cleanup, nil
}
