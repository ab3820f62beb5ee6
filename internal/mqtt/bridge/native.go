package bridge

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Send publishes ready bytes: no codec, no middleware, no generic options. It
// returns as [Broker.Deliver] does.
func (b *Broker) Send(ctx context.Context, m *Message) error {
	s := b.state()
	if s.err != nil {
		return s.err
	}
	m, err := s.envelope.SealBytes(m)
	if err != nil {
		return err
	}
	return s.put(ctx, m, &s.retries)
}

// SendAsync is [Broker.Send] without the wait for the acknowledgement: done is
// called once with the outcome, unless SendAsync returns an error or it is nil.
func (b *Broker) SendAsync(ctx context.Context, m *Message, done func(error)) error {
	s := b.state()
	if s.err != nil {
		return s.err
	}
	m, err := s.envelope.SealBytes(m)
	if err != nil {
		return err
	}
	if done == nil {
		done = func(error) {}
	}
	return s.putAsync(ctx, m, done)
}

// GaveUp is the error of who stops waiting for a message that stays in flight.
func GaveUp(err error) error {
	return &event.Error{Op: "publish", Reason: client.ReasonOfContext(err), MayHaveBeenSent: true, Cause: err}
}
