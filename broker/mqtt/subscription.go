package mqtt

import (
	"context"
	"sync/atomic"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// subscription converts the options of one Subscribe into a subscription of the client.
func (f *front) subscription(topic string, handler broker.Handler, binder broker.Binder, s *subscribeCall) (*client.Subscription, error) {
	wrapped := len(s.generic.Middlewares)+len(f.options.SubscriberMiddlewares) > 0
	handler, err := client.Wrap(handler, s.generic.Middlewares)
	if err == nil {
		handler, err = client.Wrap(handler, f.options.SubscriberMiddlewares)
	}
	if err != nil {
		return nil, client.BadRequest("subscribe", topic, err.Error())
	}
	s.take()
	if s.Handler == nil || wrapped { // the server layer makes its own
		s.Handler = func(ctx context.Context, d *client.Delivery) error { return handler(ctx, newReceived(d)) }
	}
	s.SetValues(s.generic.Context)
	s.Message.Failed = f.failed
	return s.Resolve(topic, f.codec, binder)
}

// failed calls the generic error handler before a message is dead-lettered.
func (f *front) failed(ctx context.Context, d *client.Delivery, cause error) {
	h := f.broker.now.Load().options.ErrorHandler
	if h == nil {
		return
	}
	f.client.Protect("error handler", func() {
		e := newReceived(d)
		e.Err = cause
		if err := h(ctx, e); err != nil {
			log := f.client.Log()
			log.Few("error handler", "", func(more []any) {
				log.Error("mqtt: error handler failed", append(more, logsafe.KeyTopic, d.Topic, logsafe.KeyError, err)...)
			})
		}
	})
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
