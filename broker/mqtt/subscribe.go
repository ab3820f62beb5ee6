package mqtt

import (
	"context"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

var _ event.Subscriptions = (*Broker)(nil)

// Subscribe registers a handler. While connected it waits up to 10 s for the SUBACK,
// and a refusal is an error; before Connect it only registers, and Connect reports the
// refusal. Several handlers may be registered on one filter; all of them run.
// Disconnect keeps the registrations for the next Connect; Unsubscribe ends one. binder
// creates the value to decode into; without a binder the body is the payload's bytes.
//
// A message is acknowledged after every handler that matches its topic returned nil.
// After an error or a panic, the handler is retried with backoff within 5 s. Then
// [WithSubscribeExhausted] applies: by default the broker's ErrorHandler is called, the
// message becomes a dead letter, and it is acknowledged once that is stored. Messages
// that cannot be decoded, and Kratos errors with code 400, 413, 422 and 501, are not
// retried. Messages of one topic are handled in order, different topics in parallel, at
// most 16 at once.
//
// Of kratos-transport's options, a queue name makes a shared subscription
// ($share/<name>/<filter>). Concurrency bounds how many messages of the subscription
// are handled at once. Retries, and the delay as the first of growing pauses, apply
// within the 5 s. Without automatic acknowledgement a message is acknowledged by Ack,
// at any time after its handler returned nil; until then later messages are not
// acknowledged either. The handler's context ends after 30 s and has the values of
// WithSubscribeContext; the end of that context does not end the subscription.
func (b *Broker) Subscribe(topic string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	if handler == nil {
		return nil, badRequest("subscribe", topic, "handler is nil")
	}
	f, err := b.front()
	if err != nil {
		return nil, err
	}
	call := newSubscribeCall(opts)
	sub, err := f.subscription(topic, handler, binder, call)
	if err != nil {
		return nil, err
	}
	c, done, err := b.settled() // Init moves the subscriptions to another client
	if err != nil {
		return nil, err
	}
	defer done()
	if err := c.Register(topic, sub); err != nil {
		return nil, err
	}
	return &subscriber{broker: b, topic: topic, options: call.generic, sub: sub}, nil
}

// Granted implements [event.Subscriptions]: it returns how the broker's
// subscriptions stand now.
func (b *Broker) Granted() event.Granted { return b.lasting.Granted() }

// WatchGranted implements [event.Subscriptions]: it calls f with the current state of
// the broker's subscriptions and after each change, on a separate goroutine.
func (b *Broker) WatchGranted(f func(event.Granted)) (stop func()) { return b.lasting.WatchGranted(f) }

// ConfirmGranted implements [event.Subscriptions]: it returns nil when the broker
// has answered on each connection that subscribes, within ctx.
func (b *Broker) ConfirmGranted(ctx context.Context) error {
	c, err := b.Client()
	if err != nil {
		return err
	}
	return c.ConfirmGranted(ctx)
}

// Subscribes implements [event.Subscriptions]: it reports whether a subscription
// matches a topic name.
func (b *Broker) Subscribes(topic string) bool {
	c, err := b.Client()
	return err == nil && c.Subscribes(topic)
}
