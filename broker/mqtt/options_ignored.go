package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// The options of this file exist so that code written for kratos-transport
// compiles. They have no effect, and the log says so once.

// LoggerOptions chose the client library's log levels in kratos-transport.
type LoggerOptions struct {
	Error    bool
	Critical bool
	Warn     bool
	Debug    bool
}

// WithResumeSubs has no effect: filters are subscribed to again exactly when
// the broker has lost the session.
func WithResumeSubs(bool) broker.Option { return ignore("WithResumeSubs") }

// WithOrderMatters has no effect: messages of one topic are always handled in
// order, different topics in parallel.
func WithOrderMatters(bool) broker.Option { return ignore("WithOrderMatters") }

// WithErrorLogger has no effect: everything goes to the service's logger.
func WithErrorLogger() broker.Option { return ignore("WithErrorLogger") }

// WithCriticalLogger has no effect: everything goes to the service's logger.
func WithCriticalLogger() broker.Option { return ignore("WithCriticalLogger") }

// WithWarnLogger has no effect: everything goes to the service's logger.
func WithWarnLogger() broker.Option { return ignore("WithWarnLogger") }

// WithDebugLogger has no effect: everything goes to the service's logger.
func WithDebugLogger() broker.Option { return ignore("WithDebugLogger") }

// WithLogger has no effect: everything goes to the service's logger, see
// [WithKratosLogger].
func WithLogger(LoggerOptions) broker.Option { return ignore("WithLogger") }

// ignore makes an option that has no effect, and says so.
func ignore(name string) broker.Option {
	return with(func(s *client.Settings) { s.Ignore(name) })
}
