package bridge

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
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
	c, err := s.consumer(topic, handler, binder, &o, &own)
	if err != nil {
		return nil, err
	}
	filter, err := client.Filter(topic, o.Queue, own.Broad)
	if err != nil {
		return nil, client.ErrorOf("subscribe", topic, err)
	}
	sub, err := subscription(filter, &o, &own)
	if err != nil {
		return nil, badRequest("subscribe", topic, err.Error())
	}
	release, err := c.claim(s, filter, &o, &own)
	if err != nil {
		return nil, err
	}
	known := []string{own.Operation, topic, filter}
	b.names.add(known...) // also of a subscription that is refused: its key is right
	p := s.policies.policy(own.policy(sub), known...)
	p.apply(sub)
	p.place(sub, own.Operation, topic)
	sub.Letters = own.Letters || topic == s.cfg.DeadLetterTopic
	sub.Handler, sub.OnDeadLetter, sub.EventID = c.handle, c.failed, c.eventID
	c.trusts = p.trustsSender()
	c.describe(sub)
	c.collect(sub)
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	if _, err := s.client.Subscribe(ctx, sub); err != nil {
		release()
		return nil, client.ErrorOf("subscribe", topic, err)
	}
	if own.QoS > 0 && s.cfg.ClientID == "" {
		b.unnamed.Do(func() {
			s.log.Warnf("mqtt: no client id: messages published while the process is down are not kept (first for filter %q)", filter)
		})
	}
	return &subscriber{broker: b, topic: topic, options: o, sub: sub, release: release}, nil
}

func (s *state) consumer(topic string, handler broker.Handler, binder broker.Binder, o *broker.SubscribeOptions, own *SubscribeSettings) (*consumer, error) {
	codec, err := s.envelope.Named(own.Codec)
	if err == nil && binder != nil {
		err = envelope.CheckDecodable(codec, binder())
	}
	if err != nil {
		return nil, codecError("subscribe", topic, err)
	}
	if handler, err = Wrap(handler, o.Middlewares); err == nil {
		handler, err = Wrap(handler, s.options.SubscriberMiddlewares)
	}
	if err != nil {
		return nil, badRequest("subscribe", topic, err.Error())
	}
	return &consumer{
		broker: s.broker, filter: topic, codec: codec, binder: binder, values: valuesOf(o.Context), refuse: own.refuse, method: own.Method, batch: own.Batch,
		handler: handler,
	}, nil
}

// subscriber is the handle of one registration.
type subscriber struct {
	broker  *Broker
	topic   string
	options broker.SubscribeOptions
	sub     *client.Subscription
	release func() // its place among those that know duplicates
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
	s.release()
	s.broker.mu.RLock()
	defer s.broker.mu.RUnlock()
	s.broker.gaps.Forget() // what is published from now on is not meant for us
	ctx, cancel := context.WithTimeout(context.Background(), subscribeTimeout)
	defer cancel()
	return client.ErrorOf("unsubscribe", s.topic, s.broker.client.Unsubscribe(ctx, s.sub))
}
