package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	store "github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
)

// Outbox are the settings of an outbox.
type Outbox = outbox.Settings

// OutboxOption is an option of the outbox.
type OutboxOption = outbox.Option

// SetOutbox makes publishes go through a store.
func (s *Settings) SetOutbox(to store.Store, opts []OutboxOption) {
	s.Outbox = &Outbox{Store: to}
	for _, o := range opts {
		if o != nil {
			o(s.Outbox)
		}
	}
}

// outboxOf returns the outbox of the settings, nil without one.
func (s *state) outboxOf(cfg *Outbox, timeout time.Duration) (*outbox.Outbox, error) {
	if cfg == nil {
		return nil, nil
	}
	l := outbox.Link{
		Relay: s.relay, Publish: s.publishEntry,
		Apart:    func(topic string) bool { return s.client.Apart(topic) },
		Unrouted: func(topic string) { s.client.CountUnrouted(topic) },
		Protect:  s.protect, Log: s.log, Timeout: timeout, Subscriptions: s.broker,
	}
	if s.sequence != nil {
		l.Forget = s.sequence.Forget
	}
	l.Hook = s.told.Outbox()
	return outbox.New(*cfg, l)
}

// keeps reports whether the message goes through the outbox: QoS 0 promises
// nothing, and has to be quick.
func (s *state) keeps(m *Message) bool { return s.outbox != nil && m.QoS > 0 && !m.Direct }

// entry checks a message and returns it in the form of the store, which shares no
// memory with it.
func (s *state) entry(ctx context.Context, m *Message) (*store.Entry, error) {
	if ctx == nil {
		return nil, badRequest("publish", m.Topic, "context is nil")
	}
	err := s.client.Check(&m.Message)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, client.ErrorOf("publish", m.Topic, err)
	}
	e := &store.Entry{Message: envelope.Stored(&m.Message), ID: m.Identity(), Key: m.Key}
	if !e.Retain {
		e.RetryUnrouted = m.RetryUnrouted
	}
	return e, nil
}

// RetryUnrouted is for how long a message goes again while it has no subscriber: by
// its call, else the configuration of the outbox, else its method, which may be nil.
func (b *Broker) RetryUnrouted(m *event.MethodDesc, call *event.Unrouted) time.Duration {
	s := b.state()
	switch {
	case s.outbox == nil:
		return 0
	case m == nil:
		return s.outbox.RetryUnrouted("", call, nil)
	}
	return s.outbox.RetryUnrouted(m.Operation, call, m.Unrouted)
}

// relay publishes an entry for the outbox.
func (s *state) relay(ctx context.Context, e *store.Entry, waited time.Duration, noSubscriber func(), done func(error)) error {
	m := outgoing(e, waited, noSubscriber)
	s.number(&m, e.Seq)
	err := s.client.Relay(ctx, &m.Message, done)
	s.unplaced()
	return client.ErrorOf("publish", e.Topic, err)
}

// publishEntry publishes an entry past the store.
func (s *state) publishEntry(ctx context.Context, e *store.Entry, noSubscriber func()) error {
	m := outgoing(e, 0, noSubscriber)
	err := s.client.Publish(ctx, &m.Message)
	s.unplaced()
	return client.ErrorOf("publish", e.Topic, err)
}

// outgoing is the message of an entry that has waited.
func outgoing(e *store.Entry, waited time.Duration, noSubscriber func()) Message {
	m := Message{Message: *envelope.Outgoing(&e.Message)}
	if m.Properties != nil && m.Properties.Expiry > 0 { // it counts from the publish
		m.Properties.Expiry -= max(0, waited)
	}
	if !m.Identified() {
		m.Identify(e.ID)
	}
	m.Unrouted = func() (again bool) {
		noSubscriber()
		return true // the outbox counts it, when it is not sent again
	}
	return m
}

var errNoOutbox = errors.New("there is no outbox")

// OutboxQuarantined lists up to limit messages that the outbox has put aside,
// with a Seq beyond after, in that order: each with its time, reason and, where it
// can be decoded, the message. BAD_REQUEST without an outbox, OUTBOX_FAILED when
// the store fails.
func (b *Broker) OutboxQuarantined(ctx context.Context, after uint64, limit int) (list []store.Quarantined, err error) {
	err = b.quarantine(ctx, func(o *outbox.Outbox) (err error) {
		list, err = o.Quarantined(ctx, after, limit)
		return err
	})
	return list, err
}

// OutboxRequeue puts messages that were put aside back, to be sent before those
// of their order that still wait: all of them, or OUTBOX_FULL and none. One that is
// gone is no error. The other errors are those of [Broker.OutboxQuarantined].
func (b *Broker) OutboxRequeue(ctx context.Context, seqs ...uint64) error {
	return b.quarantine(ctx, func(o *outbox.Outbox) error { return o.Requeue(ctx, seqs...) })
}

// OutboxDiscard removes messages that were put aside for good. One that is gone
// is no error. The other errors are those of [Broker.OutboxQuarantined].
func (b *Broker) OutboxDiscard(ctx context.Context, seqs ...uint64) error {
	return b.quarantine(ctx, func(o *outbox.Outbox) error { return o.Discard(ctx, seqs...) })
}

func (b *Broker) quarantine(ctx context.Context, do func(*outbox.Outbox) error) error {
	const op = "outbox"
	if ctx == nil {
		return badRequest(op, "", "context is nil")
	}
	s := b.state()
	switch {
	case s.err != nil:
		return s.err
	case s.outbox == nil:
		return badRequest(op, "", errNoOutbox.Error())
	}
	return do(s.outbox)
}
