package mqtt

import (
	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
)

// Open returns the server layer from configuration alone: a server with the dead letters
// and the window of the stores, which decodes with the codec "proto" unless an option sets
// another. Problems of the configuration are errors of Start, and before that of Check of
// package broker/mqtt. Nil stores mean retained dead letters and no window, and a nil
// logger means Kratos' global one. opts are applied last.
//
// The outbox of the stores belongs to the data layer. In a service without a data layer,
// WithBrokerOptions(mqttbroker.WithOutbox(s.Outbox,
// mqttbroker.OutboxConfig(c.GetOutbox()))) adds it to the server.
func Open(c *v1.Settings, s *stores.Stores, logger log.Logger, opts ...ServerOption) *Server {
	all := []broker.Option{
		mqttbroker.WithConnectionConfig(c.GetConnection()), mqttbroker.WithSubscriberConfig(c.GetSubscriber()),
		mqttbroker.WithDeadLettersConfig(c.GetDeadLetters()),
	}
	if logger != nil {
		all = append(all, mqttbroker.WithKratosLogger(logger))
	}
	if s != nil && s.Dedup != nil {
		all = append(all, mqttbroker.WithDedup(s.Dedup))
	}
	if s != nil && s.DeadLetters != nil {
		all = append(all, mqttbroker.WithDeadLetters(s.DeadLetters))
	} else {
		all = append(all, mqttbroker.WithRetainedDeadLetters())
	}
	return NewServer(append([]ServerOption{WithBrokerOptions(all...), WithCodec("proto")}, opts...)...)
}
