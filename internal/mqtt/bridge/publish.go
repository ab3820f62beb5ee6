package bridge

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Encode encodes the body of a message, as [envelope.Settings.Encode] does.
func (b *Broker) Encode(m *Message) error {
	s := b.state()
	if s.err != nil {
		return s.err
	}
	return s.envelope.Encode(m)
}

// Deliver seals an encoded message and sends it. It returns nil only when the broker
// has acknowledged it (QoS 1 and 2), an outbox has it, or the bytes were handed to a
// live connection (QoS 0). retries is how often it is
// tried again, over the settings; nil leaves it to them.
func (b *Broker) Deliver(ctx context.Context, m *Message, retries *int) error {
	s := b.state()
	if s.err != nil {
		return s.err
	}
	if err := s.envelope.Seal(ctx, m); err != nil {
		return err
	}
	if retries == nil && m.Transmit == nil {
		return s.put(ctx, m, &s.retries)
	}
	r := s.retry(retries)
	if m.Transmit != nil {
		r.Attempts = 1 // the next request is as good as another attempt
	}
	return s.put(ctx, m, &r)
}

// DeliverAsync is Deliver without the wait for the acknowledgement: done is called
// once with the outcome, unless it returns an error.
func (b *Broker) DeliverAsync(ctx context.Context, m *Message, done func(error)) error {
	s := b.state()
	if s.err != nil {
		return s.err
	}
	if err := s.envelope.Seal(ctx, m); err != nil {
		return err
	}
	return s.putAsync(ctx, m, done)
}

// put brings a message on its way, waits for the outcome, and tells the hooks.
func (s *state) put(ctx context.Context, m *Message, r *Retry) error {
	if !s.told.Publishing() {
		return s.bring(ctx, m, r)
	}
	started, unrouted := time.Now(), s.watchRoute(m)
	err := s.bring(ctx, m, r)
	info := publication(m)
	info.Unrouted = err == nil && unrouted.Load()
	s.outcome(info, started, err)
	return err
}

// watchRoute notes whether the broker had a subscriber for a message that goes
// past the outbox.
func (s *state) watchRoute(m *Message) *atomic.Bool {
	unrouted := new(atomic.Bool)
	m.Unrouted = func() (again bool) {
		unrouted.Store(true)
		return false
	}
	return unrouted
}

// putAsync is put without the wait: done is called once with the outcome,
// unless it returns an error.
func (s *state) putAsync(ctx context.Context, m *Message, done func(error)) error {
	if !s.told.Publishing() {
		return s.bringAsync(ctx, m, done)
	}
	started, info, unrouted := time.Now(), publication(m), s.watchRoute(m)
	err := s.bringAsync(ctx, m, func(err error) {
		info.Unrouted = err == nil && unrouted.Load()
		s.outcome(info, started, err)
		done(err)
	})
	if err != nil {
		s.outcome(info, started, err)
	}
	return err
}

// bring brings a message to the outbox, or to the broker.
func (s *state) bring(ctx context.Context, m *Message, r *Retry) error {
	if s.keeps(m) {
		e, err := s.entry(ctx, m)
		if err != nil {
			return err
		}
		return s.outbox.Append(ctx, e)
	}
	s.number(m, 0)
	err := s.attempt(ctx, m, r)
	if s.envelope.Lighten(m, err) {
		err = s.attempt(ctx, m, r)
	}
	return err
}

func (s *state) bringAsync(ctx context.Context, m *Message, done func(error)) error {
	if s.keeps(m) {
		e, err := s.entry(ctx, m)
		if err != nil {
			return err
		}
		return s.outbox.AppendAsync(ctx, e, done)
	}
	s.number(m, 0)
	err := client.ErrorOf("publish", m.Topic, s.client.PublishAsync(ctx, &m.Message, done))
	if s.envelope.Lighten(m, err) {
		err = client.ErrorOf("publish", m.Topic, s.client.PublishAsync(ctx, &m.Message, done))
	}
	return err
}

// publication says which message was published, without what belongs to the
// caller again.
func publication(m *Message) event.PublishInfo {
	return event.PublishInfo{Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Size: len(m.Payload)}
}

// outcome calls the hooks.
func (s *state) outcome(info event.PublishInfo, started time.Time, err error) {
	info.Duration, info.Err = time.Since(started), err
	s.told.Published(info)
}
