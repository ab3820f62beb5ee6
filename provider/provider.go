// Package provider wires both layers of MQTT into a Kratos service with Wire.
//
//	panic(wire.Build(provider.Set, provider.NoDatabase, biz.ProviderSet, …, newApp))
//
// The injector needs the *v1.Settings of the service's configuration and a log.Logger.
// Set provides the stores, the broker of the data layer, the [event.ClientConn] that
// generated publishers take, and the server for kratos.Server. A service with a database
// provides its *sql.DB instead of NoDatabase.
package provider

import (
	"context"
	"database/sql"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/wire"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Set provides everything that the configuration decides: the broker, also as
// kratos-transport's broker.Broker, the stores, the connection and the server. It must
// not be changed.
var Set = wire.NewSet(Stores, Broker, wire.Bind(new(broker.Broker), new(*mqttbroker.Broker)), ClientConn, Server) //nolint:gochecknoglobals // as wire wants it

// NoDatabase returns nil. Without a database the driver "sql" is an error.
func NoDatabase() *sql.DB { return nil }

// Stores opens the configured stores. A store whose file was damaged is logged; a nil logger
// means Kratos' global one. The returned function closes them.
func Stores(c *v1.Settings, db *sql.DB, logger log.Logger) (*stores.Stores, func(), error) {
	helper := log.NewHelper(mqttbroker.SafeLogger(logger))
	return stores.Open(context.Background(), c, stores.Options{
		DB: db,
		OnDamaged: func(store, report string) {
			helper.Errorf("the file of the %s was damaged: %s", store, report)
		},
	})
}

// Broker returns the broker of the data layer. The returned function disconnects it.
func Broker(c *v1.Settings, s *stores.Stores, logger log.Logger) (*mqttbroker.Broker, func(), error) {
	return mqttbroker.Open(c, s, logger)
}

// ClientConn returns the connection that generated publishers take.
func ClientConn(b broker.Broker) event.ClientConn { return mqttbroker.NewClientConn(b) }

// Server returns the server. Services register with it, and kratos.Server starts it.
func Server(c *v1.Settings, s *stores.Stores, logger log.Logger) *mqttserver.Server {
	return mqttserver.Open(c, s, logger)
}
