// Package server builds the servers that the configuration asks for. A server that is
// not configured is nil.
package server

import "github.com/google/wire"

// ProviderSet provides the servers and what they share.
var ProviderSet = wire.NewSet(
	NewRoom, NewHTTPServer, NewGRPCServer, NewMQTTServer, NewOperator, NewConsole,
	NewEmbedded, NewConnection, NewRegistrar, NewTelemetry,
)
