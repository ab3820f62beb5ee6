package mqtt

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

var _ event.Subscriptions = (*Server)(nil)

// Granted implements [event.Subscriptions]: it returns how the server's
// subscriptions stand now.
func (s *Server) Granted() event.Granted { return s.broker.Granted() }

// WatchGranted implements [event.Subscriptions]: f is told how the server's
// subscriptions stand, and of changes, on a goroutine of its own.
func (s *Server) WatchGranted(f func(event.Granted)) (stop func()) { return s.broker.WatchGranted(f) }

// ConfirmGranted implements [event.Subscriptions]: it returns nil when the broker
// has answered on each connection that subscribes, within ctx.
func (s *Server) ConfirmGranted(ctx context.Context) error { return s.broker.ConfirmGranted(ctx) }

// Subscribes implements [event.Subscriptions]: it reports whether a subscription
// of the server matches a topic name.
func (s *Server) Subscribes(topic string) bool { return s.broker.Subscribes(topic) }
