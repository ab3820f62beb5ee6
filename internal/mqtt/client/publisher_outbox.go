package client

import (
	"context"
	"errors"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	store "github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
)

// openOutbox makes the outbox of the settings; without one messages are sent at once.
func (p *publisher) openOutbox(cfg *Outbox) (err error) {
	if cfg == nil {
		return nil
	}
	c := p.client
	l := outbox.Link{
		Relay: p.relay, Publish: p.publishEntry, Apart: c.Apart, Unrouted: c.CountUnrouted,
		Protect: c.Protect, Log: p.log, Timeout: p.timeout, Subscriptions: c, Hook: p.hooks.Outbox(),
	}
	if p.sequence != nil {
		l.Forget = p.sequence.Forget
	}
	p.outbox, err = outbox.New(*cfg, l)
	return err
}

// keeps reports whether the message goes through the outbox: QoS 0 promises
// nothing, and has to be quick.
func (p *publisher) keeps(m *Outgoing) bool { return p.outbox != nil && m.QoS > 0 && !m.Direct }

// entry checks a message and returns it in the form of the store, which shares no
// memory with it.
func (p *publisher) entry(ctx context.Context, m *Outgoing) (*store.Entry, error) {
	if ctx == nil {
		return nil, badRequest("publish", m.Topic, "context is nil")
	}
	err := p.client.Check(&m.Message)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, ErrorOf("publish", m.Topic, err)
	}
	e := &store.Entry{Message: envelope.Stored(&m.Message), ID: m.Identity(), Key: m.Key}
	if !e.Retain {
		e.RetryUnrouted = m.RetryUnrouted
	}
	return e, nil
}

// RetryUnrouted is for how long a message goes again while it has no subscriber: by
// its call, else the configuration of the outbox, else its method, which may be nil.
func (p *publisher) RetryUnrouted(m *event.MethodDesc, call *event.Unrouted) time.Duration {
	switch {
	case p.outbox == nil:
		return 0
	case m == nil:
		return p.outbox.RetryUnrouted("", call, nil)
	}
	return p.outbox.RetryUnrouted(m.Operation, call, m.Unrouted)
}

// relay publishes an entry for the outbox.
func (p *publisher) relay(ctx context.Context, e *store.Entry, waited time.Duration, noSubscriber func(), done func(error)) error {
	m := outgoing(e, waited, noSubscriber)
	p.number(&m, e.Seq)
	err := p.client.Relay(ctx, &m.Message, done)
	p.unplaced()
	return ErrorOf("publish", e.Topic, err)
}

// publishEntry publishes an entry past the store.
func (p *publisher) publishEntry(ctx context.Context, e *store.Entry, noSubscriber func()) error {
	m := outgoing(e, 0, noSubscriber)
	err := p.client.Publish(ctx, &m.Message)
	p.unplaced()
	return ErrorOf("publish", e.Topic, err)
}

// outgoing is the message of an entry that has waited.
func outgoing(e *store.Entry, waited time.Duration, noSubscriber func()) Outgoing {
	m := Outgoing{Message: *envelope.Outgoing(&e.Message)}
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
func (p *publisher) OutboxQuarantined(ctx context.Context, after uint64, limit int) (list []store.Quarantined, err error) {
	err = p.quarantine(ctx, func(o *outbox.Outbox) (err error) {
		list, err = o.Quarantined(ctx, after, limit)
		return err
	})
	return list, err
}

// OutboxRequeue puts messages that were put aside back, to be sent before those
// of their order that still wait: all of them, or OUTBOX_FULL and none. One that is
// gone is no error. The other errors are those of [Client.OutboxQuarantined].
func (p *publisher) OutboxRequeue(ctx context.Context, seqs ...uint64) error {
	return p.quarantine(ctx, func(o *outbox.Outbox) error { return o.Requeue(ctx, seqs...) })
}

// OutboxDiscard removes messages that were put aside for good. One that is gone
// is no error. The other errors are those of [Client.OutboxQuarantined].
func (p *publisher) OutboxDiscard(ctx context.Context, seqs ...uint64) error {
	return p.quarantine(ctx, func(o *outbox.Outbox) error { return o.Discard(ctx, seqs...) })
}

func (p *publisher) quarantine(ctx context.Context, do func(*outbox.Outbox) error) error {
	const op = "outbox"
	if ctx == nil {
		return badRequest(op, "", "context is nil")
	}
	if p.outbox == nil {
		return badRequest(op, "", errNoOutbox.Error())
	}
	return do(p.outbox)
}
