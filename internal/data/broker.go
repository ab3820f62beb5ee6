package data

import (
	"context"
	"fmt"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// NewBroker returns the publishing side of the MQTT connection. It does not
// wait for the broker: without an outbox a publish does, also until this process
// has subscribed. The returned function waits for what is in flight and
// disconnects.
func NewBroker(connection *kratosmqttv1.Connection, c *conf.MQTT, hold *Hold, logger log.Logger) (broker.Broker, func(), error) {
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
	return &held{Broker: b, hold: hold}, cleanup, nil
}

// held is a broker without an outbox: what it publishes waits for the hold.
type held struct {
	broker.Broker
	hold *Hold
}

// Publish implements broker.Broker.
func (h *held) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if err := h.hold.Wait(ctx); err != nil {
		return errors.ServiceUnavailable(reportv1.ErrorReason_NOT_READY.String(),
			"not yet subscribed at the broker, nothing was accepted").WithCause(err)
	}
	return h.Broker.Publish(ctx, topic, msg, opts...)
}
