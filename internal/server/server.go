// Package server builds the servers that the configuration asks for. A server that is
// not configured is nil.
package server

import (
	"github.com/go-kratos/kratos/v2/registry"
	"github.com/google/wire"
)

// ProviderSet provides the servers and what they share.
var ProviderSet = wire.NewSet(
	NewRoom, NewHTTPServer, NewGRPCServer, NewMQTTServer,
	NewEmbedded, NewConnection, NewRegistrar,
)

// NewRegistrar returns the registry that the running service is announced to. Nil
// disables the announcement; return a registry client to enable it.
func NewRegistrar() registry.Registrar { return nil }
