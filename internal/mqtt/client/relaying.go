package client

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	store "github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// attempt is one attempt to send an entry of the outbox, with its span and what the hooks
// receive about it.
type attempt struct {
	publisher *publisher
	message   Outgoing
	entry     *store.Entry
	context   context.Context // with the span
	span      trace.Span      // nil without one
	started   time.Time       // zero if no hook asks
	unrouted  atomic.Bool
}

// newAttempt begins an attempt to send an entry, whose expiry counts from its acceptance.
func newAttempt(ctx context.Context, p *publisher, e *store.Entry, noSubscriber func()) *attempt {
	a := &attempt{publisher: p, message: Outgoing{Message: *envelope.Outgoing(&e.Message)}, entry: e, context: ctx}
	m := &a.message
	if e.Expiry > 0 {
		m.Expires = e.Accepted.Add(e.Expiry)
	}
	if !m.Identified() {
		m.Identify(e.ID)
	}
	m.Unrouted = func() (again bool) {
		a.unrouted.Store(true)
		noSubscriber()
		return true // the outbox counts it, when it is not sent again
	}
	if p.spans != nil {
		in := &envelope.Event{Inbound: envelope.Arrived(&e.Message)}
		_ = p.envelope.Open(in, false) // without its context the span is a root
		a.context, a.span = p.spans.relay(ctx, in.Header(), e.ID)
	}
	if p.hooks.Relaying() {
		a.started = time.Now()
	}
	return a
}

// ended reports the outcome. A message that expired was not sent; the outbox reports it.
func (a *attempt) ended(err error) {
	EndSpan(a.span, err)
	if a.started.IsZero() || errors.Is(err, session.ErrExpired) {
		return
	}
	e := a.entry
	a.publisher.hooks.Relayed(event.RelayInfo{
		Topic: e.Topic, ID: e.ID, QoS: e.QoS, Retain: e.Retain, Size: len(e.Payload), Duration: time.Since(a.started),
		Unrouted: err == nil && a.unrouted.Load(), Err: ErrorOf("publish", e.Topic, err), Context: a.context,
	})
}
