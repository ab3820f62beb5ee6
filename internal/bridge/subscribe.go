package bridge

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// SubscribeSettings are what the MQTT subscribe options change.
type SubscribeSettings struct {
	QoS     byte
	Codec   string
	Timeout time.Duration
	Broad   bool // "#" and "$SYS" filters are meant
}

type subscribeKey struct{}

// SubscribeOption makes a kratos-transport option of a change to one
// subscription.
func SubscribeOption(set func(*SubscribeSettings)) broker.SubscribeOption {
	return func(o *broker.SubscribeOptions) {
		if o == nil {
			return
		}
		ctx := o.Context
		if ctx == nil {
			ctx = context.Background()
		}
		list, _ := ctx.Value(subscribeKey{}).([]func(*SubscribeSettings))
		o.Context = context.WithValue(ctx, subscribeKey{}, append(list[:len(list):len(list)], set))
	}
}

// subscribeTimeout bounds the wait for a SUBACK of a Subscribe that has no
// context of its own.
const subscribeTimeout = 10 * time.Second

// concurrencyUnset tells an explicit concurrency from none.
const concurrencyUnset = math.MinInt

// Subscribe registers a handler. While connected it waits up to 10 s for the
// SUBACK and a refusal is an error; before Connect it registers, and Connect
// reports the refusal. A second handler on the same filter runs as well. The
// context of the handler ends at the deadline of its attempt and carries the
// values of WithSubscribeContext.
func (b *Broker) Subscribe(topic string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	if handler == nil {
		return nil, badRequest("subscribe", topic, "handler is nil")
	}
	client, err := b.Client()
	if err != nil {
		return nil, err
	}
	o, s := readSubscribeOptions(opts)
	codec, err := b.codecs().named(s.Codec)
	if err != nil {
		return nil, codecError("subscribe", topic, err)
	}
	h := &consumer{
		broker: b, codec: codec, binder: binder, values: o.Context,
		handler: broker.ChainSubscriberMiddleware(broker.ChainSubscriberMiddleware(handler, o.Middlewares), b.Options().SubscriberMiddlewares),
	}
	sub, err := newSubscription(topic, &o, &s, h)
	if err != nil {
		return nil, public(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	remove, err := client.Subscribe(ctx, sub)
	if err != nil {
		return nil, public(err)
	}
	return &subscriber{topic: topic, options: o, remove: remove}, nil
}

func readSubscribeOptions(opts []broker.SubscribeOption) (broker.SubscribeOptions, SubscribeSettings) {
	o := broker.SubscribeOptions{Context: context.Background(), AutoAck: true, Concurrency: concurrencyUnset}
	o.Apply(opts...)
	if o.Context == nil {
		o.Context = context.Background()
	}
	s := SubscribeSettings{QoS: defaultQoS}
	list, _ := o.Context.Value(subscribeKey{}).([]func(*SubscribeSettings))
	for _, set := range list {
		set(&s)
	}
	return o, s
}

func newSubscription(topic string, o *broker.SubscribeOptions, s *SubscribeSettings, c *consumer) (*engine.Subscription, error) {
	filter, err := engine.Filter(topic, o.Queue, s.Broad)
	if err != nil {
		return nil, err
	}
	sub := &engine.Subscription{
		Filter: filter, QoS: s.QoS, Handler: c.handle, ManualAck: !o.AutoAck,
		Timeout: s.Timeout, Backoff: o.RetryDelay, Classify: classify, OnDeadLetter: c.failed,
	}
	if o.Concurrency != concurrencyUnset {
		sub.Concurrency = o.Concurrency
	}
	if o.MaxRetries > 0 {
		sub.MaxAttempts = o.MaxRetries + 1
	}
	return sub, nil
}

// consumer turns a delivery into kratos-transport's event and runs the user's
// handler on it.
type consumer struct {
	broker  *Broker
	handler broker.Handler
	codec   encoding.Codec
	binder  broker.Binder
	values  context.Context
}

func (c *consumer) handle(ctx context.Context, d *engine.Delivery) error {
	e, err := c.event(d)
	if err != nil {
		return err
	}
	ctx = withValues(ctx, c.values)
	ctx, end := c.broker.tracer.process(ctx, d)
	err = c.handler(ctx, e)
	end(err)
	return err
}

// failed calls the generic error handler before a message is dead-lettered.
func (c *consumer) failed(ctx context.Context, d *engine.Delivery, cause error) {
	h := c.broker.Options().ErrorHandler
	if h == nil {
		return
	}
	e, err := c.event(d)
	if err != nil { // undecodable: the payload is the body
		e = &Event{delivery: d, msg: broker.Message{Body: d.Payload}}
	}
	e.err = cause
	if err := h(ctx, e); err != nil {
		c.broker.logger().Errorf("mqtt: error handler failed: topic %q: %v", d.Topic, err)
	}
}

// valuesContext adds the values of a subscription's context to those of an
// attempt.
type valuesContext struct {
	context.Context
	values context.Context
}

func (c valuesContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}

func withValues(ctx, values context.Context) context.Context {
	if values == nil || values == context.Background() {
		return ctx
	}
	return valuesContext{ctx, values}
}

// subscriber is the handle of one registration.
type subscriber struct {
	topic   string
	options broker.SubscribeOptions
	remove  func(context.Context) error
	closed  atomic.Bool
}

// Options gives the generic options of the subscription.
func (s *subscriber) Options() broker.SubscribeOptions { return s.options }

// Topic is the topic filter as it was registered.
func (s *subscriber) Topic() string { return s.topic }

// Unsubscribe takes the registration back and waits up to 10 s for the
// UNSUBACK; the argument has no effect. Again it does nothing.
func (s *subscriber) Unsubscribe(bool) error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	return public(s.remove(ctx))
}

// IsClosed says whether Unsubscribe was called.
func (s *subscriber) IsClosed() bool { return s.closed.Load() }
