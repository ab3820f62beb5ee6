// Package wired is a service that Wire assembles with kratosv3/provider, for its test.
package wired

import (
	"github.com/go-kratos/kratos/v3"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	v1 "github.com/kratos-mqtt/kratos-mqtt/kratosv3/internal/protos/meter/v1"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/kratosv3/transport/mqtt"
)

// bootstrap is the configuration of the service.
type bootstrap struct{ Mqtt *kratosmqttv1.Settings }

// app is the service, with its server and what its data layer publishes with.
type app struct {
	*kratos.App
	server *mqttserver.Server
	events v1.MeterEventsMQTTClient
}

func newApp(srv *mqttserver.Server, events v1.MeterEventsMQTTClient, meters v1.MeterEventsMQTTServer) *app {
	v1.RegisterMeterEventsMQTTServer(srv, meters)
	return &app{kratos.New(kratos.Server(srv), kratos.BeforeStart(srv.Start)), srv, events}
}
