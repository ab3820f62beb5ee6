//go:build wireinject

// Package wired is a service that Wire assembles with kratosv3/provider, for its test.
package wired

import (
	"log/slog"

	"github.com/google/wire"

	v1 "github.com/kratos-mqtt/kratos-mqtt/kratosv3/internal/protos/meter/v1"
	"github.com/kratos-mqtt/kratos-mqtt/kratosv3/provider"
)

func wireApp(*bootstrap, v1.MeterEventsMQTTServer, *slog.Logger) (*app, func(), error) {
	panic(wire.Build(provider.Set, provider.NoDatabase, wire.FieldsOf(new(*bootstrap), "Mqtt"), v1.NewMeterEventsMQTTClient, newApp))
}
