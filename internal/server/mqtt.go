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

// ServiceVersion is the version of the binary.
type ServiceVersion string

// NewMQTTServer returns the server that subscribes to the events of the services when
// it starts. The dedup window makes each event take effect once; nil disables it.
// Messages that no handler can handle are stored as dead letters, by default as retained
// messages at the broker. While the database is down the breakers pause the
// subscriptions, unless the configuration disables them: no dead letters are made of
// what can be handled later. Handled messages are subtracted from the backlog.
//
// Requests are served only if the configuration selects MQTT 5, by its protocol or its
// preset: in 3.1.1 a request has no response topic, and after connecting it is too late
// to find out.
func NewMQTTServer(
	c *conf.Server, m *conf.MQTT, connection *kratosmqttv1.Connection, name ServiceName, window dedup.Window,
	letters deadletter.Store, backlog *event.Backlog, telemetry *Telemetry, reports *service.ReportService, devices *service.DeviceService, logger log.Logger,
) (*mqttserver.Server, error) {
	if c.GetMqtt() == nil {
		return nil, nil
	}
	keep := mqttbroker.WithRetainedDeadLetters()
	if letters != nil {
		keep = mqttbroker.WithDeadLetters(letters)
	}
	var opts []mqttserver.ServerOption
	if provider := telemetry.Spans(); provider != nil {
		opts = append(opts, mqttserver.WithTracerProvider(provider))
	}
	if source := m.GetCloudEvents(); source != "" {
		opts = append(opts, mqttserver.WithBrokerOptions(mqttbroker.WithCloudEvents(source)))
	}
	srv := mqttserver.NewServer(append(opts,
		mqttserver.WithBrokerOptions(
			mqttbroker.WithConnectionConfig(connection),
			mqttbroker.WithBreaker(event.Breaker{Failures: event.DefaultBreakerFailures}),
			mqttbroker.WithSubscriberConfig(c.Mqtt),
			mqttbroker.WithDeadLettersConfig(m.GetDeadLetters()),
			mqttbroker.WithServiceName(string(name)),
			mqttbroker.WithKratosLogger(logger),
			mqttbroker.WithDedup(window),
			mqttbroker.WithHooks(backlog),
			mqttbroker.WithHooks(telemetry.Hooks()...),
			keep,
		),
		mqttserver.WithCodec("proto"),
		mqttserver.Middleware(recoverPanics(logger)),
	)...)
	reportv1.RegisterReportEventsMQTTServer(srv, reports,
		reportv1.ReportEvents_SaveEventReport_MQTT_Batch(reports.SaveEventReports),
		reportv1.ReportEvents_SaveUserReport_MQTT_Batch(reports.SaveUserReports))
	var registering []event.RegisterOption
	if !mqttbroker.SelectsMQTT5(connection) {
		log.NewHelper(logger).Info("the state of devices is served by HTTP and gRPC only; set mqtt.connection.protocol to \"5\" to serve it by MQTT too")
		registering = append(registering, event.Except("GetDeviceState"))
	}
	devicev1.RegisterDeviceEventsMQTTServer(srv, devices, registering...)
	return srv, nil
}
