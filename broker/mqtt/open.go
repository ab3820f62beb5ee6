package mqtt

import (
	"fmt"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// Open is the data layer from configuration alone: a broker that publishes in the
// codec "proto" unless an option says otherwise, through the outbox of the
// stores when there is one. It connects, and does not wait for that. The
// returned function waits for what is in flight, sends what it can of the outbox
// and disconnects. It fails for what [Check] reports. Nil stores are none, a nil
// logger is Kratos' global one; opts come last.
func Open(c *v1.Settings, s *stores.Stores, logger log.Logger, opts ...broker.Option) (*Broker, func(), error) {
	all := settings(c, logger)
	if s != nil && s.Outbox != nil {
		all = append(all, with(func(own *client.Settings) { own.Outbox = option.Outbox(c.GetOutbox(), s.Outbox) }))
	}
	b := NewBroker(append(all, opts...)...)
	if err := b.Init(); err != nil {
		return nil, nil, fmt.Errorf("MQTT publisher: %w", err)
	}
	if err := b.Connect(); err != nil {
		return nil, nil, fmt.Errorf("MQTT publisher: %w", err)
	}
	cleanup := func() {
		if err := b.Disconnect(); err != nil {
			b.now.Load().client.Log().Error("mqtt: the publisher is not disconnected in order", logsafe.KeyError, err)
		}
	}
	return b, cleanup, nil
}

// Check returns all errors of a configuration, of both layers, each with the key of the
// setting ([event.SettingError]). It opens no connection and logs nothing; settings
// that work but are probably not intended are logged at the start. Use it as a check of
// configfile.Load, which adds file and line. database reports whether the service has a
// database.
func Check(c *v1.Settings, database bool) error { return option.Check(c, database, codecNamed) }

// SelectsMQTT5 reports whether a connection with this configuration always speaks MQTT 5,
// because its protocol or its preset says so. A service needs it to decide before it connects
// whether it replies to requests, which have a response topic in MQTT 5 only. It is false for
// "auto", which leaves the version to the broker.
func SelectsMQTT5(c *v1.Connection) bool { return client.SelectsMQTT5(c) }

// settings are the options of a configuration.
func settings(c *v1.Settings, logger log.Logger) []broker.Option {
	return []broker.Option{
		broker.WithCodec("proto"), WithConnectionConfig(c.GetConnection()), WithPublisherConfig(c.GetPublisher()), WithKratosLogger(logger),
	}
}
