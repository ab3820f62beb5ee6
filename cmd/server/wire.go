//go:build wireinject

package main

import (
	"context"
	"io"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/google/wire"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/data"
	"github.com/kratos-mqtt/kratos-mqtt/internal/server"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
)

// wireApp assembles the app. The app stops when the context ends, and writes its banner
// to the writer when it has started. The returned function closes everything that was
// opened, in reverse order.
func wireApp(context.Context, *conf.Bootstrap, source, server.ServiceName, server.ServiceVersion, log.Logger, io.Writer) (*kratos.App, func(), error) {
	panic(wire.Build(
		wire.FieldsOf(new(*conf.Bootstrap), "Server", "Data", "Mqtt", "Device", "Health"),
		server.ProviderSet, service.ProviderSet, biz.ProviderSet, data.ProviderSet,
		newApp, newWatcher, newLimits, newHealthLimits, newOutbox, newObservers,
	))
}
