package mqtt

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Publisher publishes payloads that are already encoded, reports the outcome of each,
// and can keep many in flight from one goroutine. [NewBroker] publishes in the same way
// behind kratos-transport's interface. All methods are safe for concurrent use.
type Publisher struct{ client *client.Client }

// NewPublisher returns a publisher with the options of [NewBroker]. It reports all
// errors of the options together, and does not connect yet.
func NewPublisher(opts ...broker.Option) (*Publisher, error) {
	b := NewBroker(opts...)
	c, err := b.Client()
	if err != nil {
		return nil, err
	}
	return &Publisher{c}, nil
}

// Connect starts the connection and keeps it until Close. A broker that is down is not
// an error, unless fail-fast is set: the connection is retried in the background. A
// refused login is an error.
func (p *Publisher) Connect(ctx context.Context) error { return p.client.Start(ctx) }

// Close waits until no message is in flight, but no longer than ctx, or 10 s if ctx has
// no deadline, and sends DISCONNECT. Publishes that are still pending fail with
// MayHaveBeenSent.
func (p *Publisher) Close(ctx context.Context) error { return p.client.Stop(ctx) }

// Health returns a snapshot of the publisher's state.
func (p *Publisher) Health() event.Health { return p.client.Health() }

// Publish sends a payload, at QoS 1 unless an option sets another, and returns nil only
// when the broker has acknowledged it, or at QoS 0 when the bytes were written to a
// live connection. While disconnected it waits for the connection until ctx ends, or
// for 10 s if ctx has no deadline. The payload may be reused when Publish returns.
// Errors are *event.Error; MayHaveBeenSent reports whether publishing again may
// duplicate the message.
func (p *Publisher) Publish(ctx context.Context, topic string, payload []byte, opts ...event.CallOption) error {
	if len(opts) == 0 { // stays on the stack
		return p.client.Send(ctx, &client.Outgoing{Message: client.Message{Topic: topic, Payload: payload, QoS: defaultQoS}})
	}
	m, err := newMessage(topic, payload, opts)
	if err != nil {
		return err
	}
	return p.client.Send(ctx, m)
}

// PublishAsync is Publish without the wait for the acknowledgement: done is called once
// with the result of the publish, on a goroutine of the publisher, in the order of the
// acknowledgements. PublishAsync waits, until ctx ends or for 10 s, for a connection
// and for room in the in-flight window, which a slow done fills. A done that hangs
// blocks further callbacks and calls of PublishAsync, but neither Publish nor an
// outbox. If PublishAsync returns an error, done is not called. done may be nil; a
// panic in it is logged. The payload may be reused when PublishAsync returns.
func (p *Publisher) PublishAsync(ctx context.Context, topic string, payload []byte, done func(error), opts ...event.CallOption) error {
	if len(opts) == 0 { // stays on the stack
		return p.client.SendAsync(ctx, &client.Outgoing{Message: client.Message{Topic: topic, Payload: payload, QoS: defaultQoS}}, done)
	}
	m, err := newMessage(topic, payload, opts)
	if err != nil {
		return err
	}
	return p.client.SendAsync(ctx, m, done)
}

// Send is PublishAsync that returns a handle instead of calling a callback.
func (p *Publisher) Send(ctx context.Context, topic string, payload []byte, opts ...event.CallOption) (*Pending, error) {
	w := &Pending{done: make(chan struct{})}
	if err := p.PublishAsync(ctx, topic, payload, w.settle, opts...); err != nil {
		return nil, err
	}
	return w, nil
}

// outgoing is a message and its call options, in one allocation.
type outgoing struct {
	msg   client.Outgoing
	call  event.Call
	props client.Properties
}

func newMessage(topic string, payload []byte, opts []event.CallOption) (*client.Outgoing, error) {
	o := &outgoing{call: event.Call{Topic: topic, QoS: defaultQoS}}
	c := &o.call
	c.Apply(opts...)
	if c.Expiry < 0 {
		return nil, &event.Error{Op: "publish", Topic: c.Topic, Reason: event.ReasonBadRequest, Cause: fmt.Errorf("expiry of %v, want 0s or more", c.Expiry)}
	}
	o.msg = client.Outgoing{
		Message: client.Message{Topic: c.Topic, Payload: payload, QoS: c.QoS, Retain: c.Retain},
		Key:     c.OrderingKey, Direct: c.Direct, RetryUnrouted: c.Unrouted.RetryFor(),
	}
	o.props = client.Properties{ContentType: c.ContentType, Expiry: c.Expiry}
	for _, h := range c.Headers {
		o.props.User = append(o.props.User, client.UserProperty(h))
	}
	if c.ID != "" {
		o.props.User = append(o.props.User, client.UserProperty{Key: idKey, Value: c.ID})
	}
	if c.ContentType != "" || c.Expiry != 0 || o.props.User != nil {
		o.msg.Properties = &o.props
	}
	return &o.msg, nil
}

// defaultQoS is at least once.
const defaultQoS = 1

// idKey is the user property that has the id of a message.
const idKey = "id"

// Pending is the handle of one message in flight. Safe for concurrent use.
type Pending struct {
	done chan struct{}
	err  error
}

func (w *Pending) settle(err error) {
	w.err = err
	close(w.done)
}

// Done is closed when the outcome is known.
func (w *Pending) Done() <-chan struct{} { return w.done }

// Err returns the outcome, or nil while it is not known.
func (w *Pending) Err() error {
	select {
	case <-w.done:
		return w.err
	default:
		return nil
	}
}

// Wait returns the outcome, or an *event.Error that wraps ctx's error if ctx ends
// first; the message then stays in flight. It may be called again.
func (w *Pending) Wait(ctx context.Context) error {
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return client.GaveUp(ctx.Err())
	}
}
