package server

import (
	"github.com/go-kratos/kratos/v2/log"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// ServiceName is the name of the service in its registry, its logs and the
// topic of its dead letters.
type ServiceName string

// NewMQTTServer subscribes the events of the services at the broker, once started.
// Within the window each event is handled once; nil remembers none. What no handler
// can handle is kept as letters; nil are retained messages at the broker. The backlog
// is told what is handled.
//
// Requests are answered where the configuration means MQTT 5, by its protocol or
// its preset: with 3.1.1 they have no place for the topic of the reply, and to
// find that out when connecting would be too late.
func NewMQTTServer(
	c *conf.Server, m *conf.MQTT, connection *kratosmqttv1.Connection, name ServiceName, window dedup.Window,
	letters deadletter.Store, backlog *event.Backlog, reports *service.ReportService, devices *service.DeviceService, logger log.Logger,
) (*mqttserver.Server, error) {
	if c.GetMqtt() == nil {
		return nil, nil
	}
	keep := mqttbroker.WithRetainedDeadLetters()
	if letters != nil {
		keep = mqttbroker.WithDeadLetters(letters)
	}
	srv := mqttserver.NewServer(
		mqttserver.WithBrokerOptions(
			mqttbroker.WithConnection(connection),
			mqttbroker.WithSubscriber(c.Mqtt),
			mqttbroker.WithDeadLettersConfig(m.GetDeadLetters()),
			mqttbroker.WithServiceName(string(name)),
			mqttbroker.WithKratosLogger(logger),
			mqttbroker.WithDedup(window),
			mqttbroker.WithHooks(backlog),
			keep,
		),
		mqttserver.WithCodec("proto"),
		mqttserver.Middleware(recoverPanics(logger)),
	)
	reportv1.RegisterReportEventsMQTTServer(srv, reports,
		reportv1.ReportEvents_SaveEventReport_MQTT_Batch(reports.SaveEventReports),
		reportv1.ReportEvents_SaveUserReport_MQTT_Batch(reports.SaveUserReports))
	var opts []event.RegisterOption
	if !speaks5(connection) {
		log.NewHelper(logger).Infof("state of devices: by HTTP and gRPC only; by MQTT too with mqtt.connection.protocol %q", protocol5)
		opts = append(opts, event.Except("GetDeviceState"))
	}
	devicev1.RegisterDeviceEventsMQTTServer(srv, devices, opts...)
	return srv, nil
}

// protocol5 is MQTT 5 in the configuration.
const protocol5 = "5"

func speaks5(c *kratosmqttv1.Connection) bool {
	return c.GetProtocol() == protocol5 || c.GetProtocol() == "" && c.GetPreset() == "mosquitto"
}
