//go:build wireinject

// Package provider holds the wiring that docs/guide/configuration.md shows.
package provider

import (
	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/wire"

	"github.com/kratos-mqtt/kratos-mqtt/provider"
)

func wireApp(*bootstrap, log.Logger) (*kratos.App, func(), error) {
	panic(wire.Build(provider.Set, provider.NoDatabase, wire.FieldsOf(new(*bootstrap), "Mqtt"), newApp))
}
