package outbox

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Link is what an outbox needs of the client that it belongs to. Errors are
// [event.Error]s. Its functions are safe for concurrent use.
type Link struct {
	// Relay publishes an entry, as soon as there is room for it, and calls done with the
	// outcome, unless it returns an error, which is ErrExpired if the entry expired before.
	// noSubscriber is called before done when the broker had no subscriber for it.
	Relay func(ctx context.Context, e *outbox.Entry, noSubscriber func(), done func(error)) error
	// Publish is like Relay for an entry that has not waited, and waits for the outcome.
	Publish func(ctx context.Context, e *outbox.Entry, noSubscriber func()) error
	// Apart reports whether the connection of a topic is down while others are up.
	Apart func(topic string) bool
	// Unrouted counts a message that had no subscriber.
	Unrouted func(topic string)
	// Forget is called with entries that are never sent again. It is nil when entries are
	// not numbered.
	Forget func(entries ...uint64)
	// Hook receives each event, with the health, on a goroutine of its own. It may be nil.
	Hook func(event.OutboxInfo)
	// Protect calls a user's function, and logs its panic.
	Protect func(what string, f func())
	// Log receives log lines.
	Log logsafe.Log
	// Timeout returns the time limit of a publish whose context has no deadline.
	Timeout func() time.Duration
	// Subscriptions are those of the client itself.
	Subscriptions event.Subscriptions
}
