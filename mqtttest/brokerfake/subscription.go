package brokerfake

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// subscription is one handler.
type subscription struct {
	broker  *Broker
	filter  string
	handler broker.Handler
	options broker.SubscribeOptions
}

// Subscribe registers a handler for a topic filter, with the generic middleware around it. The
// error set by [Broker.Fail] for the filter is returned.
func (b *Broker) Subscribe(filter string, handler broker.Handler, _ broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	if err := topic.ValidateFilter(filter); err != nil {
		return nil, &event.Error{Op: "subscribe", Topic: filter, Reason: event.ReasonBadTopic, Cause: err}
	}
	if handler == nil {
		return nil, &event.Error{Op: "subscribe", Topic: filter, Reason: event.ReasonBadRequest, Cause: errors.New("the handler is nil")}
	}
	if err := b.sent.Failure(filter); err != nil {
		return nil, err
	}
	o := broker.NewSubscribeOptions(opts...)
	b.mu.Lock()
	defer b.mu.Unlock()
	handler = broker.ChainSubscriberMiddleware(handler, slices.Concat(b.options.SubscriberMiddlewares, o.Middlewares))
	s := &subscription{broker: b, filter: filter, handler: handler, options: o}
	b.subscriptions = append(b.subscriptions, s)
	return s, nil
}

// Filters returns the filters that are subscribed to, in the order of their subscriptions.
func (b *Broker) Filters() (filters []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.subscriptions {
		filters = append(filters, s.filter)
	}
	return filters
}

// Deliver calls every handler whose filter matches the topic, one after another on this
// goroutine, and returns their errors joined: once each, without retries. The body must be a
// value of the handler's type, or a pointer to one. It is an error if no filter matches.
func (b *Broker) Deliver(ctx context.Context, name string, msg *broker.Message) error {
	b.mu.Lock()
	subscriptions := slices.Clone(b.subscriptions)
	b.mu.Unlock()
	var errs []error
	matched := false
	for _, s := range subscriptions {
		if topic.Match(s.filter, name) {
			matched = true
			errs = append(errs, s.handler(ctx, &delivered{topic: name, message: msg}))
		}
	}
	if !matched {
		return fmt.Errorf("brokerfake: nothing subscribes to %s, only %q", name, b.Filters())
	}
	return errors.Join(errs...)
}

// Options returns the generic options.
func (s *subscription) Options() broker.SubscribeOptions { return s.options }

// Topic returns the filter.
func (s *subscription) Topic() string { return s.filter }

// Unsubscribe removes the handler. A second call does nothing.
func (s *subscription) Unsubscribe(bool) error {
	s.broker.mu.Lock()
	defer s.broker.mu.Unlock()
	s.broker.subscriptions = slices.DeleteFunc(s.broker.subscriptions, func(other *subscription) bool { return other == s })
	return nil
}

// delivered is a message in a handler.
type delivered struct {
	topic   string
	message *broker.Message
}

func (d *delivered) Topic() string            { return d.topic }
func (d *delivered) Message() *broker.Message { return d.message }
func (d *delivered) RawMessage() any          { return d.message.Msg }
func (d *delivered) Ack() error               { return nil }
func (d *delivered) Error() error             { return nil }
