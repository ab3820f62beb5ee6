package mqtt

import (
	"context"
	"errors"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
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
		return srv.registerSubscriber(ctx, topic, nil, nil, opts)
	}
	h := srv.operations.NewHandler(topic, nil, func(ctx context.Context, a *operation.Attempt, req any) error {
		msg, err := operation.As[T]("message body", req)
		if err != nil {
			return err
		}
		if e := eventOf(ctx); e != nil {
			e.Message().Body = req // a middleware may have replaced it
			return handler(ctx, e.Topic(), e.Message().Headers, msg)
		}
		return handler(ctx, a.Topic, a.Headers(), msg)
	})
	return srv.registerSubscriber(ctx, topic, h, func() any { return new(T) }, opts)
}

// RegisterSubscriber registers a handler for a topic filter; binder returns the value to
// decode into. Without a binder the body is the payload's bytes. The handler's context has
// the values of ctx; the end of ctx has no effect.
func (s *Server) RegisterSubscriber(ctx context.Context, topic string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) error {
	return s.registerSubscriber(ctx, topic, s.ofEvents(topic, handler), binder, opts)
}

func (s *Server) registerSubscriber(ctx context.Context, topic string, h *operation.Handler, binder broker.Binder, opts []broker.SubscribeOption) error {
	if ctx == nil {
		return &event.Error{Op: "subscribe", Topic: topic, Reason: event.ReasonBadRequest, Cause: errNilContext}
	}
	_, err := s.subscribe(topic, h, binder, append([]broker.SubscribeOption{broker.WithSubscribeContext(ctx)}, opts...))
	return err
}

// Subscribe is like RegisterSubscriber, and returns a subscriber that can be unsubscribed.
// The handler's context has the Transport, and the middleware of its operation, which is
// the filter, runs around it. For the generic options see broker/mqtt's NewBroker.
func (s *Server) Subscribe(topic string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	return s.subscribe(topic, s.ofEvents(topic, handler), binder, opts)
}

// subscribe subscribes a handler, which is nil if the user's is.
func (s *Server) subscribe(topic string, h *operation.Handler, binder broker.Binder, opts []broker.SubscribeOption) (broker.Subscriber, error) {
	if h == nil {
		return s.broker.Subscribe(topic, nil, binder, opts...)
	}
	opts = append(opts, subscribing(func(own *option.Subscription) { own.Handler = h.Handle }))
	sub := &subscription{handler: h}
	err := h.Subscribe(func() (err error) {
		sub.Subscriber, err = s.broker.Subscribe(topic, handleEvent(h), binder, opts...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

// ofEvents returns a handler of kratos-transport's events, or nil if handler is.
func (s *Server) ofEvents(topic string, handler broker.Handler) *operation.Handler {
	if handler == nil {
		return nil
	}
	return s.operations.NewHandler(topic, beginEvent, func(ctx context.Context, _ *operation.Attempt, req any) error {
		e := eventOf(ctx)
		e.Message().Body = req // a middleware may have replaced it
		return handler(ctx, e)
	})
}

// subscription is the handle of one registration.
type subscription struct {
	broker.Subscriber
	handler *operation.Handler
}

// Unsubscribe removes the registration and waits up to 10 s for the UNSUBACK; the argument
// has no effect. A second call does nothing.
func (s *subscription) Unsubscribe(remove bool) error {
	s.handler.Forget()
	return s.Subscriber.Unsubscribe(remove)
}

// Pause stops the handlers of the subscriptions with a name, an operation
// (/pkg.Service/Method) or a topic filter as it was registered, until [Server.Resume]: over
// reconnects, and over Stop and Start of this process. It waits within ctx for handlers that
// run, and must not be called by one of them; an error with the reason TIMEOUT or CANCELED
// means that some still run, and the pause lasts all the same. An unknown name is BAD_REQUEST.
//
// Messages stay unacknowledged at the broker and in the queue; none is retried, parked or
// dead-lettered meanwhile. What shares the session waits, too, once its in-flight window is full,
// see broker/mqtt's WithSubscribeOwnSession. QoS 0 messages beyond the queue are dropped. Stop
// leaves what is paused at once. [Server.Health] lists it in Pauses. [event.PausedBy] adds a name
// and a reason.
func (s *Server) Pause(ctx context.Context, name string, opts ...event.PauseOption) error {
	return s.broker.Pause(ctx, name, opts...)
}

// Resume ends a pause, by the same or another name of the subscription. An open breaker makes
// its next attempt at once. Without a pause it does nothing; an unknown name is BAD_REQUEST.
func (s *Server) Resume(ctx context.Context, name string) error { return s.broker.Resume(ctx, name) }

// Subscriptions returns all subscriptions by name, those of one operation as one: whether each
// handles messages, what waits for it, and the failures of its breaker.
func (s *Server) Subscriptions() []event.SubscriptionPause { return s.broker.Subscriptions() }

var _ event.Subscriptions = (*Server)(nil)

// SubscriptionState implements event.Subscriptions: it returns how the subscriptions stand
// now.
func (s *Server) SubscriptionState() event.SubscriptionState { return s.broker.SubscriptionState() }

// WatchSubscriptions implements event.Subscriptions: it calls f with the current state of
// the subscriptions and after each change, on a separate goroutine.
func (s *Server) WatchSubscriptions(f func(event.SubscriptionState)) (stop func()) {
	return s.broker.WatchSubscriptions(f)
}

// ConfirmSubscriptions implements [event.Subscriptions]: it returns nil when the broker
// has answered on each connection that subscribes, within ctx.
func (s *Server) ConfirmSubscriptions(ctx context.Context) error {
	return s.broker.ConfirmSubscriptions(ctx)
}

// Subscribes implements event.Subscriptions: it reports whether a subscription matches a
// topic name.
func (s *Server) Subscribes(topic string) bool { return s.broker.Subscribes(topic) }

var (
	errNilContext = errors.New("context is nil")
	errServed     = errors.New("the server connects with Start and disconnects with Stop")
)
