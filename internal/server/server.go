// Package server builds the servers that the configuration asks for. A server
// that it does not ask for is nil.
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

// NewRegistrar returns where the running service is announced. Nil, as here,
// announces it nowhere; return a registry's client to be found through it.
func NewRegistrar() registry.Registrar { return nil }
