package mqtt

import (
	"context"
	"sync/atomic"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// subscription converts the options of one Subscribe into a subscription of the client.
func (f *front) subscription(topic string, handler broker.Handler, binder broker.Binder, s *subscribeCall) (*client.Subscription, error) {
	codec, err := f.client.Codec(s.codec)
	if err != nil {
		return nil, codecError("subscribe", topic, err)
	}
	if handler, err = client.Wrap(handler, s.generic.Middlewares); err == nil {
		handler, err = client.Wrap(handler, f.options.SubscriberMiddlewares)
	}
	if err == nil {
		err = s.resolve()
	}
	if err != nil {
		return nil, badRequest("subscribe", topic, err.Error())
	}
	if s.Filter, err = client.Filter(topic, s.generic.Queue, s.broad); err != nil {
		return nil, client.ErrorOf("subscribe", topic, err)
	}
	s.Handler = func(ctx context.Context, d *client.Delivery) error { return handler(ctx, newReceived(d)) }
	t := &s.typed
	t.Topic, t.Codec, t.New = topic, codec, binder
	t.Values, t.Span, t.Failed = valuesOf(s.generic.Context), f.tracer.span(), f.failed
	s.Typed = t
	return &s.Subscription, nil
}

// failed calls the generic error handler before a message is dead-lettered.
func (f *front) failed(ctx context.Context, d *client.Delivery, cause error) {
	h := f.broker.now.Load().options.ErrorHandler
	if h == nil {
		return
	}
	f.client.Protect("error handler", func() {
		e := newReceived(d)
		e.err = cause
		if err := h(ctx, e); err != nil {
			f.client.Log().Errorf("mqtt: error handler failed: topic %q: %v", d.Topic, err)
		}
	})
}

// valuesOf returns the values of a subscription's context, or nil if it has none. The
// result never ends, because the end of that context must not end an attempt.
func valuesOf(ctx context.Context) context.Context {
	if ctx == nil || ctx == context.Background() {
		return nil
	}
	return context.WithoutCancel(ctx)
}

// subscriber is the handle of one registration.
type subscriber struct {
	broker  *Broker
	topic   string
	options broker.SubscribeOptions
	sub     *client.Subscription
	closed  atomic.Bool
}

// Options returns the generic options of the subscription.
func (s *subscriber) Options() broker.SubscribeOptions { return s.options }

// Topic returns the topic filter as it was registered.
func (s *subscriber) Topic() string { return s.topic }

// Unsubscribe removes the registration and waits up to 10 s for the UNSUBACK; the
// argument has no effect. Messages that still arrive for a filter without handlers are
// acknowledged and counted: to replace a handler, register the new one first. Further
// calls do nothing.
func (s *subscriber) Unsubscribe(bool) error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	b := s.broker
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.lasting.Client().Unregister(s.topic, s.sub)
}
