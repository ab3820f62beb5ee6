package mqtt

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

var _ event.Subscriptions = (*Broker)(nil)

// Headers are the user properties (MQTT 5) or the attributes of the CloudEvent of a message,
// with the last value of each name.
type Headers = map[string]string

// Binder returns the value to decode a message into, for each attempt.
type Binder = func() any

// Handler handles a message of a subscription without generated code.
type Handler func(ctx context.Context, m Received) error

// Received is one message in one handler. It belongs to one attempt and to the goroutine of
// the handler. Bytes that it returns must not be changed, and must be copied to be kept.
type Received interface { //nolint:interfacebloat // as many as broker.Event and Received have for Kratos v2
	// Topic returns the topic name that the message was published on.
	Topic() string
	// Body returns the decoded message, or the payload's bytes without a [Binder].
	Body() any
	// Headers returns the headers, with the last value of each name.
	Headers() map[string]string
	// AllHeaders returns all headers with all values of a name, in order.
	AllHeaders() []message.Header
	// QoS returns the QoS at which the broker delivered the message.
	QoS() byte
	// Retained reports whether the message is a retained one.
	Retained() bool
	// Duplicate reports whether the broker may have delivered the message before.
	Duplicate() bool
	// ID returns the id of the message: its user property "id" (MQTT 5), else the id of its
	// CloudEvent, else "".
	ID() string
	// ContentType returns the content type of Data, or "" if it is not known.
	ContentType() string
	// Payload returns the payload as it arrived.
	Payload() []byte
	// Data returns the payload without the CloudEvent around it, if there is one.
	Data() []byte
	// Published returns the message as the broker delivered it, with all that MQTT 5 carries with
	// it, of a request also the response topic. Its expiry is what is left.
	Published() message.Message
	// Ack acknowledges the message of a subscription with [DisableAutoAck]; otherwise it
	// does nothing. It may be called later and from any goroutine; further calls do nothing.
	Ack() error
}

// Subscriber is the handle of one subscription.
type Subscriber interface {
	// Topic returns the topic filter as it was registered.
	Topic() string
	// Unsubscribe removes the registration and waits up to 10 s for the UNSUBACK. Messages
	// that still arrive for a filter without handlers are acknowledged and counted: to
	// replace a handler, register the new one first. Further calls do nothing.
	Unsubscribe() error
}

// Subscribe registers a handler. While connected it waits up to 10 s for the SUBACK, and a
// refusal is an error; before Start it only registers, and Start reports the refusal. Several
// handlers may be registered on one filter; all of them run. Stop keeps the registrations for
// the next Start.
//
// A message is acknowledged after every handler that matches its topic returned nil. After an
// error or a panic, the handler is retried with backoff within 5 s. Then
// [WithSubscribeExhausted] applies: by default the message becomes a dead letter, and it is
// acknowledged once that is stored. Messages that cannot be decoded, and Kratos errors with
// code 400, 413, 422 and 501, are not retried. Messages of one topic are handled in order,
// different topics in parallel, at most 16 at once. The handler's context ends after 30 s.
func (b *Broker) Subscribe(topic string, handler Handler, binder Binder, opts ...SubscribeOption) (Subscriber, error) {
	if handler == nil {
		return nil, client.BadRequest("subscribe", topic, "handler is nil")
	}
	handle := func(own *option.Subscription) {
		if own.Handler == nil { // the server layer makes its own
			own.Handler = func(ctx context.Context, d *client.Delivery) error { return handler(ctx, option.NewMessage(d, d.Body)) }
		}
	}
	c, err := b.of()
	if err != nil {
		return nil, err
	}
	s := &option.Subscription{Subscription: client.Subscription{QoS: option.DefaultQoS}}
	for _, o := range append(slices.Clip(opts), handle) {
		if o != nil {
			o(s)
		}
	}
	sub, err := s.Resolve(topic, b.codecOf, binder)
	if err != nil {
		return nil, err
	}
	if err := c.Register(topic, sub); err != nil {
		return nil, err
	}
	return &subscriber{client: c, topic: topic, sub: sub}, nil
}

// subscriber is the handle of one registration.
type subscriber struct {
	client *client.Client
	topic  string
	sub    *client.Subscription
	closed atomic.Bool
}

// Topic implements Subscriber.
func (s *subscriber) Topic() string { return s.topic }

// Unsubscribe implements Subscriber.
func (s *subscriber) Unsubscribe() error {
	if !s.closed.CompareAndSwap(false, true) {
		return nil
	}
	return s.client.Unregister(s.topic, s.sub)
}

// Pause stops the handlers of the subscriptions with a name, an operation
// (/pkg.Service/Method) or a topic filter as it was registered, until [Broker.Resume]: over
// reconnects, and over Stop and Start of this process. It waits within ctx for handlers that
// run, and must not be called by one of them; an error with the reason TIMEOUT or CANCELED
// means that some still run, and the pause lasts all the same. An unknown name is BAD_REQUEST.
//
// Messages stay unacknowledged at the broker and in the queue; none is retried, parked or
// dead-lettered meanwhile. What shares the session waits, too, once its in-flight window is
// full, see [WithSubscribeOwnSession]. [event.PausedBy] adds a name and a reason.
func (b *Broker) Pause(ctx context.Context, name string, opts ...event.PauseOption) error {
	return b.of.Pause(ctx, name, opts...)
}

// Resume ends a pause, by the same or another name of the subscription. An open breaker, see
// [WithBreaker], makes its next attempt at once. Without a pause it does nothing; an unknown
// name is BAD_REQUEST.
func (b *Broker) Resume(ctx context.Context, name string) error { return b.of.Resume(ctx, name) }

// Subscriptions returns all subscriptions by name, those of one operation as one: whether each
// handles messages, what waits for it, and the failures of its breaker.
func (b *Broker) Subscriptions() []event.SubscriptionPause { return b.of.Subscriptions() }

// SubscriptionState implements event.Subscriptions: how the subscriptions stand now.
func (b *Broker) SubscriptionState() event.SubscriptionState { return b.lasting.SubscriptionState() }

// WatchSubscriptions implements event.Subscriptions: it calls f with the current state of
// the subscriptions and after each change, on a separate goroutine.
func (b *Broker) WatchSubscriptions(f func(event.SubscriptionState)) (stop func()) {
	return b.lasting.WatchSubscriptions(f)
}

// ConfirmSubscriptions implements [event.Subscriptions]: it returns nil when the broker
// has answered on each connection that subscribes, within ctx.
func (b *Broker) ConfirmSubscriptions(ctx context.Context) error {
	return b.of.ConfirmSubscriptions(ctx)
}

// Subscribes implements event.Subscriptions: it reports whether a subscription matches a
// topic name.
func (b *Broker) Subscribes(topic string) bool { return b.of.Subscribes(topic) }
