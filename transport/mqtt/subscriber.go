package mqtt

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// RegisterSubscriber registers a typed handler for a topic filter. The payload is decoded
// into a new T for each attempt; a payload that cannot be decoded is dead-lettered at
// once. Before Start it only registers the handler, and Start returns an error if the
// broker refuses the filter; after Start it waits for the SUBACK. The handler's context
// has the values of ctx. Several handlers on the same filter are all called.
func RegisterSubscriber[T any](
	srv *Server, ctx context.Context, topic string, //nolint:revive // the order is kratos-transport's
	handler func(ctx context.Context, topic string, headers broker.Headers, msg *T) error,
	opts ...broker.SubscribeOption,
) error {
	if handler == nil {
		return srv.RegisterSubscriber(ctx, topic, nil, nil, opts...)
	}
	return srv.RegisterSubscriber(ctx, topic,
		func(ctx context.Context, e broker.Event) error {
			msg, ok := e.Message().Body.(*T)
			if !ok {
				return fmt.Errorf("message body is a %T, want a %T", e.Message().Body, new(T))
			}
			return handler(ctx, e.Topic(), e.Message().Headers, msg)
		},
		func() any { return new(T) },
		opts...)
}

// RegisterSubscriber registers a handler for a topic filter; binder returns the value to
// decode into. Without a binder the body is the payload's bytes. The handler's context has
// the values of ctx; the end of ctx has no effect.
func (s *Server) RegisterSubscriber(ctx context.Context, topic string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) error {
	if ctx == nil {
		return &event.Error{Op: "subscribe", Topic: topic, Reason: event.ReasonBadRequest, Cause: errNilContext}
	}
	opts = append([]broker.SubscribeOption{broker.WithSubscribeContext(ctx)}, opts...)
	_, err := s.Subscribe(topic, handler, binder, opts...)
	return err
}

// Subscribe is like RegisterSubscriber, and returns a subscriber that can be unsubscribed.
// The handler's context has the Transport, and the middleware of its operation, which is
// the filter, runs around it. For the generic options see broker/mqtt's NewBroker.
func (s *Server) Subscribe(topic string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	if handler == nil {
		return s.broker.Subscribe(topic, nil, binder, opts...)
	}
	c := &chained{server: s, operation: topic, handler: handler}
	return c.subscribe(topic, c.handle, binder, opts...)
}

var _ event.Subscriptions = (*Server)(nil)

// Granted implements [event.Subscriptions]: it returns how the server's
// subscriptions stand now.
func (s *Server) Granted() event.Granted { return s.broker.Granted() }

// WatchGranted implements [event.Subscriptions]: f is called with the state of the
// server's subscriptions, and after each change, on a goroutine of its own.
func (s *Server) WatchGranted(f func(event.Granted)) (stop func()) { return s.broker.WatchGranted(f) }

// ConfirmGranted implements [event.Subscriptions]: it returns nil when the broker
// has answered on each connection that subscribes, within ctx.
func (s *Server) ConfirmGranted(ctx context.Context) error { return s.broker.ConfirmGranted(ctx) }

// Subscribes implements [event.Subscriptions]: it reports whether a subscription
// of the server matches a topic name.
func (s *Server) Subscribes(topic string) bool { return s.broker.Subscribes(topic) }

// chained is a handler behind the Kratos middleware of its operation. What
// changes from message to message travels in the Transport.
type chained struct {
	server    *Server
	operation string
	handler   broker.Handler                                  // or
	reply     func(ctx context.Context, req any) (any, error) // of a replier, or
	batch     func(ctx context.Context, in []proto.Message) error
	replier   *client.Replier       // with reply
	params    *template             // of the topic; nil without parameters
	chain     atomic.Pointer[chain] // nil until Start, or the registration, builds it
}

func (c *chained) handle(ctx context.Context, e broker.Event) error {
	own, ok := e.RawMessage().(*client.Delivery)
	if !ok {
		return fmt.Errorf("a subscriber middleware changed the raw message to a %T", e.RawMessage())
	}
	call, err := c.built()
	if err != nil {
		return err
	}
	ctx, tr := c.begin(ctx, e, own)
	if c.reply != nil {
		return c.serve(ctx, tr, call)
	}
	_, err = call(ctx, e.Message().Body)
	return err
}

// call is the end of the chain.
func (c *chained) call(ctx context.Context, req any) (any, error) {
	tr, ok := FromContext(ctx)
	if !ok || tr.chained != c {
		return nil, errNoTransport
	}
	if c.batch != nil {
		return nil, c.callBatch(ctx, req)
	}
	tr.event.Message().Body = req // a middleware may have replaced it
	if c.reply != nil {
		return c.reply(ctx, req)
	}
	return nil, c.handler(ctx, tr.event)
}

var (
	errNilContext  = errors.New("context is nil")
	errNoTransport = errors.New("a middleware dropped the transport from the context")
	errServed      = errors.New("the server connects with Start and disconnects with Stop")
)
