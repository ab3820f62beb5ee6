package bridge

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// subscribeTimeout bounds the wait for a SUBACK of a Subscribe that has no
// context of its own.
const subscribeTimeout = 10 * time.Second

// Subscribe registers a handler. While connected it waits up to 10 s for the
// SUBACK and a refusal is an error; before Connect it registers, and Connect
// reports the refusal. A second handler on the same filter runs as well.
//
// The context of the handler ends at the deadline of its attempt and carries
// the values of WithSubscribeContext, whose end does not end the subscription,
// and below them those of the context that the client was started with.
// The generic options mean: a queue name makes a shared subscription
// ($share/<name>/<filter>); concurrency bounds how many of its messages are
// handled at once, those of one topic always one by one; retries, and the
// delay as the first of growing pauses, count within the retry budget, which
// ends them; without automatic acknowledgement a message is acknowledged by
// Ack after its handler returned nil.
func (b *Broker) Subscribe(topic string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	if handler == nil {
		return nil, badRequest("subscribe", topic, "handler is nil")
	}
	b.state()
	b.mu.RLock() // Init moves the subscriptions to another client
	defer b.mu.RUnlock()
	s := b.now.Load()
	if s.err != nil {
		return nil, s.err
	}
	o, own := readSubscribeOptions(opts)
	filter, err := client.Filter(topic, o.Queue, own.Broad)
	if err != nil {
		return nil, client.ErrorOf("subscribe", topic, err)
	}
	sub, err := s.subscription(topic, filter, handler, binder, &o, &own)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	if _, err := s.client.Subscribe(ctx, sub); err != nil {
		return nil, client.ErrorOf("subscribe", topic, err)
	}
	return &subscriber{broker: b, topic: topic, options: o, sub: sub}, nil
}

// subscription returns what the client is to know of a subscription.
func (s *state) subscription(topic, filter string, handler broker.Handler, binder broker.Binder, o *broker.SubscribeOptions, own *SubscribeSettings) (*client.Subscription, error) {
	codec, err := s.envelope.Named(own.Codec)
	if err != nil {
		return nil, codecError("subscribe", topic, err)
	}
	if handler, err = Wrap(handler, o.Middlewares); err == nil {
		handler, err = Wrap(handler, s.options.SubscriberMiddlewares)
	}
	var sub *client.Subscription
	if err == nil {
		sub, err = subscription(filter, o, own)
	}
	if err != nil {
		return nil, badRequest("subscribe", topic, err.Error())
	}
	sub.Handler = func(ctx context.Context, d *client.Delivery) error { return handler(ctx, newEvent(d)) }
	sub.Letters = own.Letters || topic == s.cfg.DeadLetterTopic
	sub.IgnoreRetained = own.IgnoreRetained
	sub.Typed = &client.Typed{
		Operation: own.Operation, Topic: topic, Codec: codec, New: binder, Method: own.Method, IDField: own.IDField,
		IDsSpanTopics: own.IDsSpanTopics, IDScope: own.IDScope, Values: valuesOf(o.Context), TrustSender: own.TrustSender,
		Span: s.tracer.span(), Undecodable: own.undecodable(), Failed: s.failed(), Reasons: own.Reasons,
		OwnSession: own.OwnSession, SessionName: own.SessionName,
	}
	if own.Batch != nil {
		sub.Typed.Batch = own.Batch.typed()
	}
	return sub, nil
}

// undecodable is what the option says, nil for nothing.
func (s *SubscribeSettings) undecodable() func(context.Context, *client.Delivery, error) error {
	if s.refuse == nil {
		return nil
	}
	return func(ctx context.Context, d *client.Delivery, err error) error { return s.refuse(ctx, newEvent(d), err) }
}

// failed calls the generic error handler before a message is dead-lettered; nil is
// none.
func (s *state) failed() func(context.Context, *client.Delivery, error) {
	b := s.broker
	return func(ctx context.Context, d *client.Delivery, cause error) {
		s := b.state()
		h := s.options.ErrorHandler
		if h == nil {
			return
		}
		s.protect("error handler", func() {
			e := newEvent(d)
			e.err = cause
			if err := h(ctx, e); err != nil {
				s.log.Errorf("mqtt: error handler failed: topic %q: %v", d.Topic, err)
			}
		})
	}
}

// valuesOf returns the values of a subscription's context without its end, which
// the context package would take for that of the attempt; nil without any.
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

// Topic is the topic filter as it was registered.
func (s *subscriber) Topic() string { return s.topic }

// Unsubscribe takes the registration back and waits up to 10 s for the
// UNSUBACK; the argument has no effect. What still comes for a filter without
// handlers is acknowledged and counted: to replace a handler, register the new one
// first. Again it does nothing.
func (s *subscriber) Unsubscribe(bool) error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	s.broker.mu.RLock()
	defer s.broker.mu.RUnlock()
	s.broker.gaps.Forget() // what is published from now on is not meant for us
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	return client.ErrorOf("unsubscribe", s.topic, s.broker.client.Unsubscribe(ctx, s.sub))
}
