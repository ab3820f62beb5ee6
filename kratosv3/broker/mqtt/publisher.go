package mqtt

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// Publisher publishes payloads that are already encoded, reports the outcome of each,
// and can keep many in flight from one goroutine. All methods are safe for concurrent use.
type Publisher struct{ client *client.Client }

// NewPublisher returns a publisher with the options of [NewBroker]. It reports all
// errors of the options together, and does not connect yet.
func NewPublisher(opts ...Option) (*Publisher, error) {
	c, err := NewBroker(opts...).of()
	if err != nil {
		return nil, err
	}
	return &Publisher{c}, nil
}

// Start starts the connection and keeps it until Stop. A broker that is down is not
// an error, unless fail-fast is set: the connection is retried in the background. A
// refused login is an error.
func (p *Publisher) Start(ctx context.Context) error { return p.client.Start(ctx) }

// Stop waits until no message is in flight, but no longer than ctx, or 10 s if ctx has
// no deadline, and sends DISCONNECT. Publishes that are still pending fail with
// MayHaveBeenSent.
func (p *Publisher) Stop(ctx context.Context) error { return p.client.Stop(ctx) }

// Health returns a snapshot of the publisher's state.
func (p *Publisher) Health() event.Health { return p.client.Health() }

// Publish sends a payload, at QoS 1 unless an option sets another, and returns nil only
// when the broker has acknowledged it, or at QoS 0 when the bytes were written to a
// live connection. While disconnected it waits for the connection until ctx ends, or
// for 10 s if ctx has no deadline. The payload may be reused when Publish returns.
// Errors are *event.Error; MayHaveBeenSent reports whether publishing again may
// duplicate the message.
func (p *Publisher) Publish(ctx context.Context, topic string, payload []byte, opts ...event.CallOption) error {
	return option.PublishPayload(ctx, p.client, topic, payload, nil, opts)
}

// PublishAsync is Publish without the wait for the acknowledgement: done is called once
// with the result of the publish, on a goroutine of the publisher, in the order of the
// acknowledgements. PublishAsync waits, until ctx ends or for 10 s, for a connection
// and for room in the in-flight window, which a slow done fills. If PublishAsync returns an
// error, done is not called. done may be nil; a panic in it is logged. The payload may be
// reused when PublishAsync returns.
func (p *Publisher) PublishAsync(ctx context.Context, topic string, payload []byte, done func(error), opts ...event.CallOption) error {
	return option.PublishPayload(ctx, p.client, topic, payload, option.Done(done), opts)
}

// Send is PublishAsync for a message that is sent as it is, with its response topic, correlation
// data and headers: one that [Received] returned, for example.
func (p *Publisher) Send(ctx context.Context, m *message.Message, done func(error)) error {
	return option.SendMessage(ctx, p.client, m, done)
}

// BeginPublish is PublishAsync with a handle in place of a callback: it returns when the
// message is in flight, and the handle has the outcome.
func (p *Publisher) BeginPublish(ctx context.Context, topic string, payload []byte, opts ...event.CallOption) (*Pending, error) {
	w, settle := event.NewPending()
	if err := p.PublishAsync(ctx, topic, payload, settle, opts...); err != nil {
		return nil, err
	}
	return w, nil
}

// Pending is the handle of one message in flight, see [event.Pending].
type Pending = event.Pending
