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

// ServiceName is the name of the service in the registry, in logs, and in the topic of
// its dead letters.
type ServiceName string

// NewMQTTServer returns the server that subscribes to the events of the services when
// it starts. The dedup window makes each event take effect once; nil disables it.
// Messages that no handler can handle are stored as dead letters, by default as retained
// messages at the broker. Handled messages are subtracted from the backlog.
//
// Requests are served only if the configuration selects MQTT 5, by its protocol or its
// preset: in 3.1.1 a request has no response topic, and after connecting it is too late
// to find out.
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
		log.NewHelper(logger).Infof("the state of devices is served by HTTP and gRPC only; set mqtt.connection.protocol to %q to serve it by MQTT too", protocol5)
		opts = append(opts, event.Except("GetDeviceState"))
	}
	devicev1.RegisterDeviceEventsMQTTServer(srv, devices, opts...)
	return srv, nil
}

// protocol5 selects MQTT 5 in the configuration.
const protocol5 = "5"

func speaks5(c *kratosmqttv1.Connection) bool {
	return c.GetProtocol() == protocol5 || c.GetProtocol() == "" && c.GetPreset() == "mosquitto"
}
