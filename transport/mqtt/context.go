package mqtt

import (
	"context"
	"fmt"

	"github.com/go-kratos/kratos/v2/transport"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// begin puts the Transport of an attempt into its context, as transport.NewServerContext does.
func begin(ctx context.Context, h *operation.Handler, d *client.Delivery) (context.Context, *operation.Attempt) {
	c := &handling{Context: ctx, transport: Transport{attempt: operation.NewAttempt(h, d)}}
	return c, &c.transport.attempt
}

// beginEvent is begin for a handler of events.
func beginEvent(ctx context.Context, h *operation.Handler, d *client.Delivery) (context.Context, *operation.Attempt) {
	c := &eventHandling{event: option.Received[broker.Message]{Delivery: d}}
	m := &c.event.Msg
	m.ID, m.Headers, m.Partition, m.Offset, m.Msg, m.Body = d.ID(), d.Headers(), -1, -1, &c.event, d.Body
	c.Context, c.transport = ctx, Transport{attempt: operation.NewAttempt(h, d), event: &c.event}
	return &c.handling, &c.transport.attempt
}

// handleEvent handles what came through the middleware of kratos-transport.
func handleEvent(h *operation.Handler) broker.Handler {
	return func(ctx context.Context, e broker.Event) error {
		d, ok := e.RawMessage().(*client.Delivery)
		if !ok {
			return fmt.Errorf("a subscriber middleware changed the raw message to a %T", e.RawMessage())
		}
		return h.HandleAs(ctx, func(ctx context.Context, h *operation.Handler, d *client.Delivery) (context.Context, *operation.Attempt) {
			c := &handling{Context: ctx, transport: Transport{attempt: operation.NewAttempt(h, d), event: e}}
			return c, &c.transport.attempt
		}, d, e.Message().Body)
	}
}

// eventOf returns the event of the attempt of a context, or nil if it has none.
func eventOf(ctx context.Context) broker.Event {
	if t, ok := FromContext(ctx); ok {
		return t.event
	}
	return nil
}

// attemptOf returns the attempt of a context, or nil.
func attemptOf(ctx context.Context) *operation.Attempt {
	if t, ok := FromContext(ctx); ok {
		return &t.attempt
	}
	return nil
}

// handling is the context of one attempt with its Transport: one allocation for
// both.
type handling struct {
	context.Context
	transport Transport
}

// eventHandling is handling for a handler of events: the same allocation has the event.
type eventHandling struct {
	handling
	event option.Received[broker.Message]
}

// Value implements context.Context.
func (h *handling) Value(key any) any {
	if key == serverKey {
		return &h.transport
	}
	return h.Context.Value(key)
}

// serverKey is the key under which Kratos looks for the transport of a server in a
// context. Kratos does not export it, so it is recorded here from a lookup.
var serverKey = func() any { //nolint:gochecknoglobals // never changes
	asked := keyContext{Context: context.Background(), key: new(any)}
	_, _ = transport.FromServerContext(asked)
	return *asked.key
}()

// keyContext records the key of a lookup.
type keyContext struct {
	context.Context
	key *any
}

// Value implements context.Context.
func (c keyContext) Value(key any) any {
	*c.key = key
	return nil
}
