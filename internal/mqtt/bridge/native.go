package bridge

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Send publishes ready bytes: no codec, no middleware, no generic options. It
// returns as [Broker.Publish] does.
func (b *Broker) Send(ctx context.Context, m *Message) error {
	s := b.state()
	if s.err != nil {
		return s.err
	}
	m, err := s.carried(m)
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
	m, err := s.carried(m)
	if err != nil {
		return err
	}
	if done == nil {
		done = func(error) {}
	}
	return s.putAsync(ctx, m, done)
}

// carried puts ready bytes into the carrier, when there is one.
func (s *state) carried(m *Message) (*Message, error) {
	if m.Properties != nil {
		if err := s.numberable(m.Properties.User); err != nil {
			return nil, badRequest("publish", m.Topic, err.Error())
		}
		if err := client.CheckSent(m.Properties.User); err != nil {
			return nil, tooLarge("publish", m.Topic, err)
		}
	}
	if s.cloudEvents == "" {
		if s.ids && !m.named() {
			m.ID = client.NewID()
		}
		return m, nil
	}
	d := &draft{msg: *m}
	if m.Properties != nil {
		d.props = *m.Properties
	}
	d.msg.Properties = &d.props
	if err := s.structure(d); err != nil {
		return nil, formError("publish", m.Topic, err)
	}
	return &d.msg, nil
}

// GaveUp is the error of who stops waiting for a message that stays in flight.
func GaveUp(err error) error {
	return &event.Error{Op: "publish", Reason: reasonOfContext(err), MayHaveBeenSent: true, Cause: err}
}
