// Package provider wires both layers of MQTT into a service on Kratos v3 with Wire.
//
//	panic(wire.Build(provider.Set, provider.NoDatabase, biz.ProviderSet, …, newApp))
//
// The injector needs the *v1.Settings of the service's configuration and a *slog.Logger.
// Set provides the stores, the broker of the data layer, the [event.ClientConn] that
// generated publishers take, and the server for kratos.Server. A service with a database
// provides its *sql.DB instead of NoDatabase. Names are those of package provider of the
// module for Kratos v2.
package provider

import (
	"context"
	"database/sql"
	"log/slog"

	"github.com/google/wire"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/kratosv3/transport/mqtt"
)

// Set provides everything that the configuration decides: the stores, the broker, the
// connection and the server. It must not be changed.
var Set = wire.NewSet(Stores, Broker, ClientConn, Server) //nolint:gochecknoglobals // as wire wants it

// NoDatabase returns nil. Without a database the driver "sql" is an error.
func NoDatabase() *sql.DB { return nil }

// Stores opens the configured stores. A store whose file was damaged is logged; a nil logger
// means the default one. The returned function closes them.
func Stores(c *v1.Settings, db *sql.DB, logger *slog.Logger) (*stores.Stores, func(), error) {
	logger = mqttbroker.SafeLogger(logger)
	return stores.Open(context.Background(), c, stores.Options{
		DB: db,
		OnDamaged: func(store, report string) {
			logger.Error("the file of a store was damaged", "store", store, "report", report)
		},
	})
}

// Broker returns the broker of the data layer. The returned function disconnects it.
func Broker(c *v1.Settings, s *stores.Stores, logger *slog.Logger) (*mqttbroker.Broker, func(), error) {
	return mqttbroker.Open(c, s, logger)
}

// ClientConn returns the connection that generated publishers take.
func ClientConn(b *mqttbroker.Broker) event.ClientConn { return mqttbroker.NewClientConn(b) }

// Server returns the server. Services register with it, and kratos.Server starts it.
func Server(c *v1.Settings, s *stores.Stores, logger *slog.Logger) *mqttserver.Server {
	return mqttserver.Open(c, s, logger)
}
