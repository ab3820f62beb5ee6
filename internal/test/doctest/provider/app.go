// Package provider holds the wiring that docs/guide/configuration.md shows.
package provider

import (
	"github.com/go-kratos/kratos/v2"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// bootstrap is the configuration of a service.
type bootstrap struct{ Mqtt *kratosmqttv1.Settings }

func newApp(_ event.ClientConn, srv *mqttserver.Server) *kratos.App {
	return kratos.New(kratos.Server(srv), kratos.BeforeStart(srv.Start))
}
