package client

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	store "github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// openOutbox makes the outbox of the settings; without one messages are sent at once.
func (p *publisher) openOutbox(cfg *Outbox, subscriptions event.Subscriptions, unrouted *unrouted) (err error) {
	if cfg == nil {
		return nil
	}
	l := outbox.Link{
		Relay: p.relay, Publish: p.publishEntry, Apart: p.apart, Subscriptions: subscriptions,
		Unrouted: func(topic string) { unrouted.note([]byte(topic), func(f func()) { f() }) },
		Protect:  func(what string, f func()) { hook.Protect(p.log, what, f) },
		Log:      p.log, Timeout: p.limit, Hook: p.hooks.Outbox(),
	}
	if p.sequence != nil {
		l.Forget = p.sequence.Forget
	}
	p.outbox, err = outbox.New(*cfg, l)
	return err
}

// apart reports whether what is published on a topic would wait for a connection that is
// not there yet, while another one is.
func (p *publisher) apart(topic string) bool {
	r := p.run() // also while the outbox is flushed at the end
	return r != nil && r.pubs.downAlone(topic)
}

// keep checks a message and puts it into the outbox in the form of the store, which shares
// no memory with it.
func (p *publisher) keep(ctx context.Context, m *Outgoing) error {
	if ctx == nil {
		return BadRequest("publish", m.Topic, "context is nil")
	}
	err := session.Valid(&m.Message)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return ErrorOf("publish", m.Topic, err)
	}
	e := &store.Entry{Message: envelope.Stored(&m.Message), ID: m.Identity(), Key: m.Key, Due: m.Due}
	if !e.Retain {
		e.RetryUnrouted = p.outbox.RetryUnrouted(m.Method, m.Again)
	}
	if m.Done != nil {
		return p.outbox.AppendAsync(ctx, e, m.Done)
	}
	return p.outbox.Append(ctx, e)
}

// relay publishes an entry for the outbox. Callbacks of the user that hang do not hold it
// up.
func (p *publisher) relay(ctx context.Context, e *store.Entry, noSubscriber func(), done func(error)) error {
	a := newAttempt(ctx, p, e, noSubscriber)
	m := &a.message
	m.Kept, m.Done = true, func(err error) {
		a.ended(err)
		done(err)
	}
	p.number(m, e.Seq)
	err := p.sendEntry(a.context, m)
	if err != nil {
		a.ended(err)
	}
	if errors.Is(err, session.ErrExpired) {
		return outbox.ErrExpired
	}
	return err
}

// publishEntry publishes an entry past the store.
func (p *publisher) publishEntry(ctx context.Context, e *store.Entry, noSubscriber func()) error {
	a := newAttempt(ctx, p, e, noSubscriber)
	err := p.sendEntry(a.context, &a.message)
	a.ended(err)
	return err
}

// sendEntry is send within the limits of today, which an entry may be older than.
func (p *publisher) sendEntry(ctx context.Context, m *Outgoing) error {
	if err := p.envelope.Check(&m.Message); err != nil {
		return err
	}
	return p.send(ctx, m)
}

var errNoOutbox = errors.New("there is no outbox")

// Quarantined lists up to limit messages that the outbox has quarantined,
// with a Seq beyond after, in that order: each with its time, reason and, where it
// can be decoded, the message. BAD_REQUEST without an outbox, OUTBOX_FAILED when
// the store fails.
func (p *publisher) Quarantined(ctx context.Context, after uint64, limit int) (list []store.Quarantined, err error) {
	err = p.withOutbox(ctx, func(o *outbox.Outbox) (err error) {
		list, err = o.Quarantined(ctx, after, limit)
		return err
	})
	return list, err
}

// RetryQuarantined puts quarantined messages back, to be sent before those
// of their order that still wait: all of them, or OUTBOX_FULL and none. One that is
// gone is no error. The other errors are those of [Client.Quarantined].
func (p *publisher) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	return p.withOutbox(ctx, func(o *outbox.Outbox) error { return o.RetryQuarantined(ctx, seqs...) })
}

// DeleteQuarantined deletes quarantined messages permanently. One that is gone
// is no error. The other errors are those of [Client.Quarantined].
func (p *publisher) DeleteQuarantined(ctx context.Context, seqs ...uint64) error {
	return p.withOutbox(ctx, func(o *outbox.Outbox) error { return o.DeleteQuarantined(ctx, seqs...) })
}

// Waiting lists up to limit messages that wait in the outbox, with a Seq beyond after, in that
// order, and why each waits. The errors are those of [Client.Quarantined].
func (p *publisher) Waiting(ctx context.Context, after uint64, limit int) (list []store.Waiting, err error) {
	err = p.withOutbox(ctx, func(o *outbox.Outbox) (err error) {
		list, err = o.Waiting(ctx, after, limit)
		return err
	})
	return list, err
}

// RetryWaiting sends the first messages of keys at once that wait for the end of a pause, and
// returns how many keys those were. The errors are those of [Client.Quarantined].
func (p *publisher) RetryWaiting(ctx context.Context, keys ...string) (n int, err error) {
	err = p.withOutbox(ctx, func(o *outbox.Outbox) error {
		n = o.RetryWaiting(keys...)
		return nil
	})
	return n, err
}

// DeleteWaiting deletes waiting messages, and returns those that it left because they were sent
// already. The errors are those of [Client.Quarantined].
func (p *publisher) DeleteWaiting(ctx context.Context, seqs ...uint64) (sent []uint64, err error) {
	err = p.withOutbox(ctx, func(o *outbox.Outbox) (err error) {
		sent, err = o.DeleteWaiting(ctx, seqs...)
		return err
	})
	return sent, err
}

// Delayed lists up to limit delayed messages of the outbox, in the order in which they are due,
// after the given one or from the first. The errors are those of [Client.Quarantined], and
// UNSUPPORTED when the store of the outbox cannot delay messages.
func (p *publisher) Delayed(ctx context.Context, after *store.Entry, limit int) (list []*store.Entry, err error) {
	err = p.withOutbox(ctx, func(o *outbox.Outbox) (err error) {
		list, err = o.Delayed(ctx, after, limit)
		return err
	})
	return list, err
}

// CancelDelayed deletes the delayed messages with these ids, and returns how many those were:
// none of them is sent. The errors are those of Delayed.
func (p *publisher) CancelDelayed(ctx context.Context, ids ...string) (n int, err error) {
	err = p.withOutbox(ctx, func(o *outbox.Outbox) (err error) {
		n, err = o.CancelDelayed(ctx, ids...)
		return err
	})
	return n, err
}

// withOutbox calls do with the outbox, if there is one.
func (p *publisher) withOutbox(ctx context.Context, do func(*outbox.Outbox) error) error {
	const op = "outbox"
	if ctx == nil {
		return BadRequest(op, "", "context is nil")
	}
	if p.outbox == nil {
		return BadRequest(op, "", errNoOutbox.Error())
	}
	return do(p.outbox)
}
