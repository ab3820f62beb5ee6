package mqtt

import (
	"context"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
)

// RegisterSubscriber registers a typed handler for a topic filter. The payload is decoded
// into a new T for each attempt; a payload that cannot be decoded is dead-lettered at
// once. Before Start it only registers the handler, and Start returns an error if the
// broker refuses the filter; after Start it waits for the SUBACK. The handler's context
// has the values of ctx. Several handlers on the same filter are all called.
func RegisterSubscriber[T any](
	srv *Server, ctx context.Context, topic string, //nolint:revive // the order is that of transport/mqtt
	handler func(ctx context.Context, topic string, headers mqttbroker.Headers, msg *T) error,
	opts ...mqttbroker.SubscribeOption,
) error {
	if handler == nil {
		return errNilHandler(topic)
	}
	h := srv.operations.NewHandler(topic, nil, func(ctx context.Context, a *operation.Attempt, req any) error {
		msg, err := operation.As[T]("message body", req)
		if err != nil {
			return err
		}
		return handler(ctx, a.Topic, a.Headers(), msg)
	})
	return srv.register(ctx, topic, h, func() any { return new(T) }, opts)
}

// RegisterReplier registers a typed handler for requests. Its result is published to the
// response topic of the request at QoS 1, and the request is acknowledged afterwards, so
// that no request is lost, but one may be handled twice. The reply is encoded with the codec
// that the content type of the request names, else with that of the subscription. It has the
// correlation data of the request, and the headers of the Transport's ReplyHeader.
//
// An error of the handler is sent as a reply, without a retry, with the code, reason and
// message of its Kratos error; so is a request that cannot be decoded. Codes other than 400
// to 599 are sent as 500. The text of another error is logged, and "internal error" is sent. A
// panic is retried, then dead-lettered, as for a subscriber; Kratos' recovery middleware makes
// it a reply. A message without a response topic is handled as by a subscriber.
//
// A reply is dropped, and the request acknowledged, if the response topic is not allowed, see
// [ReplyTopics], if the requester has used up its share, or if the broker does not accept it.
// Health counts that as RepliesDropped. MQTT 5 has response topic and correlation data; on MQTT
// 3.1.1 both sides need CloudEvents.
func RegisterReplier[Req, Resp any](
	srv *Server, ctx context.Context, topic string, //nolint:revive // the order is RegisterSubscriber's
	handler func(ctx context.Context, req *Req) (*Resp, error),
	opts ...mqttbroker.SubscribeOption,
) error {
	if handler == nil {
		return errNilHandler(topic)
	}
	h, err := srv.operations.NewReplier(topic, func(ctx context.Context, req any) (any, error) {
		r, err := operation.As[Req]("request", req)
		if err != nil {
			return nil, err
		}
		return handler(ctx, r)
	})
	if err != nil {
		return err
	}
	opts = append(slices.Clip(opts), func(s *option.Subscription) { s.Message.Undecodable = h.Refuse })
	return srv.register(ctx, topic, h, func() any { return new(Req) }, opts)
}

// RegisterSubscriber registers a handler for a topic filter; binder returns the value to
// decode into. Without a binder the body is the payload's bytes. The handler's context has
// the values of ctx; the end of ctx has no effect.
func (s *Server) RegisterSubscriber(ctx context.Context, topic string, handler mqttbroker.Handler, binder mqttbroker.Binder, opts ...mqttbroker.SubscribeOption) error {
	if handler == nil {
		return errNilHandler(topic)
	}
	return s.register(ctx, topic, s.handler(topic, handler), binder, opts)
}

// Subscribe is like RegisterSubscriber, and returns a subscriber that can be unsubscribed.
// The handler's context has the Transport, and the middleware of its operation, which is
// the filter, runs around it.
func (s *Server) Subscribe(topic string, handler mqttbroker.Handler, binder mqttbroker.Binder, opts ...mqttbroker.SubscribeOption) (mqttbroker.Subscriber, error) {
	if handler == nil {
		return nil, errNilHandler(topic)
	}
	return s.subscribe(topic, s.handler(topic, handler), binder, opts)
}

func (s *Server) handler(topic string, handler mqttbroker.Handler) *operation.Handler {
	return s.operations.NewHandler(topic, nil, func(ctx context.Context, a *operation.Attempt, req any) error {
		return handler(ctx, option.NewMessage(a.Delivery, req))
	})
}

func (s *Server) register(ctx context.Context, topic string, h *operation.Handler, binder mqttbroker.Binder, opts []mqttbroker.SubscribeOption) error {
	if ctx == nil {
		return client.BadRequest("subscribe", topic, "context is nil")
	}
	_, err := s.subscribe(topic, h, binder, append([]mqttbroker.SubscribeOption{mqttbroker.WithSubscribeContext(ctx)}, opts...))
	return err
}

func (s *Server) subscribe(topic string, h *operation.Handler, binder mqttbroker.Binder, opts []mqttbroker.SubscribeOption) (mqttbroker.Subscriber, error) {
	sub := &subscriber{handler: h}
	opts = append(slices.Clip(opts), func(own *option.Subscription) { own.Handler = h.Handle })
	err := h.Subscribe(func() (err error) {
		sub.Subscriber, err = s.broker.Subscribe(topic, unused, binder, opts...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return sub, nil
}

// unused is never called: the subscription has a handler behind its middleware.
func unused(context.Context, mqttbroker.Received) error { return nil }

// subscriber is the handle of one registration.
type subscriber struct {
	mqttbroker.Subscriber
	handler *operation.Handler
}

// Unsubscribe implements mqttbroker.Subscriber.
func (s *subscriber) Unsubscribe() error {
	s.handler.Forget()
	return s.Subscriber.Unsubscribe()
}

func errNilHandler(topic string) error {
	return client.BadRequest("subscribe", topic, "handler is nil")
}

// Pause stops the handlers of the subscriptions with a name, an operation
// (/pkg.Service/Method) or a topic filter as it was registered, until [Server.Resume], as
// [mqttbroker.Broker.Pause].
func (s *Server) Pause(ctx context.Context, name string, opts ...event.PauseOption) error {
	return s.of.Pause(ctx, name, opts...)
}

// Resume ends a pause, by the same or another name of the subscription, as
// [mqttbroker.Broker.Resume].
func (s *Server) Resume(ctx context.Context, name string) error { return s.of.Resume(ctx, name) }

// Subscriptions returns all subscriptions by name, those of one operation as one: whether each
// handles messages, what waits for it, and the failures of its breaker.
func (s *Server) Subscriptions() []event.SubscriptionPause { return s.of.Subscriptions() }

// SubscriptionState implements event.Subscriptions: how the subscriptions stand now.
func (s *Server) SubscriptionState() event.SubscriptionState { return s.broker.SubscriptionState() }

// WatchSubscriptions implements event.Subscriptions: it calls f with the current state of
// the subscriptions and after each change, on a separate goroutine.
func (s *Server) WatchSubscriptions(f func(event.SubscriptionState)) (stop func()) {
	return s.broker.WatchSubscriptions(f)
}

// ConfirmSubscriptions implements [event.Subscriptions]: it returns nil when the broker
// has answered on each connection that subscribes, within ctx.
func (s *Server) ConfirmSubscriptions(ctx context.Context) error {
	return s.of.ConfirmSubscriptions(ctx)
}

// Subscribes implements event.Subscriptions: it reports whether a subscription matches a
// topic name.
func (s *Server) Subscribes(topic string) bool { return s.of.Subscribes(topic) }
