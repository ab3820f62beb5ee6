// Package delivery is the code that docs/guide/delivery.md shows.
package delivery

import (
	"errors"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
)

// NewBroker accepts messages into a file. Publish returns nil once they are on disk.
func NewBroker(c *kratosmqttv1.Connection, path string) (broker.Broker, func() error, error) {
	store, err := outboxfile.Open(path, outboxfile.Options{MaxEntries: 100_000})
	if err != nil {
		return nil, nil, err
	}
	b := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(c), broker.WithCodec("json"),
		mqttbroker.WithOutbox(store, mqttbroker.OutboxKeepAcknowledged(2*time.Second))) // for a broker that saves each second
	cleanup := func() error { return errors.Join(b.Disconnect(), store.Close()) } // sends what it can, then closes
	if err := b.Connect(); err != nil {
		return nil, nil, errors.Join(err, cleanup())
	}
	return b, cleanup, nil
}
