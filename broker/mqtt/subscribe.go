package mqtt

import (
	"context"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
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
		return nil, client.BadRequest("subscribe", topic, "handler is nil")
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

// Pause stops the handlers of the subscriptions with a name, an operation
// (/pkg.Service/Method) or a topic filter as it was registered, until [Broker.Resume]: over
// reconnects, and over Stop and Start of this process. It waits within ctx for handlers that
// run, and must not be called by one of them; an error with the reason TIMEOUT or CANCELED
// means that some still run, and the pause lasts all the same. An unknown name is BAD_REQUEST.
//
// Messages stay unacknowledged at the broker and in the queue; none is retried, parked or
// dead-lettered meanwhile. What shares the session waits, too, once its in-flight window is full,
// see [WithSubscribeOwnSession]. QoS 0 messages beyond the queue are dropped. Stop leaves what
// is paused at once. [Broker.Health] lists it in Pauses. [event.PausedBy] adds a name and a
// reason.
func (b *Broker) Pause(ctx context.Context, name string, opts ...event.PauseOption) error {
	return b.of().Pause(ctx, name, opts...)
}

// Resume ends a pause, by the same or another name of the subscription. An open breaker, see
// [WithBreaker], makes its next attempt at once. Without a pause it does nothing; an unknown
// name is BAD_REQUEST.
func (b *Broker) Resume(ctx context.Context, name string) error { return b.of().Resume(ctx, name) }

// Subscriptions returns all subscriptions by name, those of one operation as one: whether each
// handles messages, what waits for it, and the failures of its breaker.
func (b *Broker) Subscriptions() []event.SubscriptionPause { return b.of().Subscriptions() }

// SubscriptionState implements event.Subscriptions: it returns how the subscriptions stand
// now.
func (b *Broker) SubscriptionState() event.SubscriptionState { return b.lasting.SubscriptionState() }

// WatchSubscriptions implements event.Subscriptions: it calls f with the current state of
// the subscriptions and after each change, on a separate goroutine.
func (b *Broker) WatchSubscriptions(f func(event.SubscriptionState)) (stop func()) {
	return b.lasting.WatchSubscriptions(f)
}

// ConfirmSubscriptions implements [event.Subscriptions]: it returns nil when the broker
// has answered on each connection that subscribes, within ctx.
func (b *Broker) ConfirmSubscriptions(ctx context.Context) error {
	return b.of().ConfirmSubscriptions(ctx)
}

// Subscribes implements event.Subscriptions: it reports whether a subscription matches a
// topic name.
func (b *Broker) Subscribes(topic string) bool { return b.of().Subscribes(topic) }
