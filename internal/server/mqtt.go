package server

import (
	"context"
	"errors"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware/recovery"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/api/topic"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// ServiceName is the name of the service in its registry, its logs and the
// topic of its dead letters.
type ServiceName string

// idField is the field of a report's event that says which one it is, for brokers
// and versions of MQTT that carry no headers. A reading's says so only together
// with its device: readings are told apart by their rows.
const idField = "event_id"

// NewMQTTServer subscribes the event handlers at the broker, once started. Within
// the window each event is handled once; nil remembers none. What no handler can
// handle is kept as letters; nil are retained messages at the broker.
func NewMQTTServer(
	c *conf.Server, m *conf.MQTT, connection *kratosmqttv1.Connection, name ServiceName, window dedup.Window,
	letters deadletter.Store, reports *service.ReportEvents, devices *service.DeviceEvents, logger log.Logger,
) (*mqttserver.Server, error) {
	if c.GetMqtt() == nil {
		return nil, nil
	}
	keep := mqttserver.RetainedDeadLetters()
	if letters != nil {
		keep = mqttserver.DeadLetters(letters)
	}
	srv := mqttserver.NewServer(
		mqttserver.Connection(connection),
		mqttserver.Subscriber(c.Mqtt),
		mqttserver.Name(string(name)),
		mqttserver.WithCodec("proto"),
		mqttserver.Logger(logger),
		mqttserver.Middleware(recovery.Recovery()),
		mqttserver.Dedup(window),
		keep,
		mqttserver.ParkLimit(m.GetDeadLetters().GetParkLimit().AsDuration()),
	)
	ctx := context.Background()
	err := errors.Join(
		mqttserver.RegisterSubscriber(srv, ctx, topic.ReportEvents, reports.SaveEventReport, mqttserver.WithIDField(idField)),
		mqttserver.RegisterSubscriber(srv, ctx, topic.ReportStatuses, reports.SaveUserReport, mqttserver.WithIDField(idField)),
		mqttserver.RegisterSubscriber(srv, ctx, topic.DeviceData, devices.RecordTelemetry,
			mqttserver.WithSubscribeCodec("json")),
	)
	if err != nil {
		return nil, err
	}
	return srv, nil
}
