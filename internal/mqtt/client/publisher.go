package client

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
)

// publisher is the way of a message out: encode, seal, and into the outbox or to the
// broker. It does not change. Its methods are safe for concurrent use.
type publisher struct {
	client   *Client
	log      Logger
	hooks    *hook.Set
	envelope *envelope.Settings
	retries  Retry
	timeout  time.Duration                                // of a publish whose context has no deadline
	publish  func(ctx context.Context, m *Outgoing) error // of requests and replies

	outbox   *outbox.Outbox    // nil sends at once
	sequence *sequence.Numbers // nil numbers nothing
}

// Outgoing is a message on its way out.
type Outgoing = envelope.Message

// newPublisher resolves how messages are written, and how they are sent, and reports
// every problem of it.
func newPublisher(c *Client, from *Settings) (publisher, error) {
	p := publisher{client: c, log: c.log, hooks: c.hooks, retries: from.Retry, timeout: c.cfg.PublishTimeout, publish: from.Publish}
	if p.timeout <= 0 {
		p.timeout = DefaultPublishTimeout
	}
	if from.Sequence {
		p.sequence = sequence.NewNumbers(c.cfg.ClientID)
	}
	trust, untrusted := envelope.NewTrust(from.AllowedMetadata, contextFields(from.Propagator))
	p.envelope = &envelope.Settings{
		Codecs: from.Codecs, Codec: from.DefaultCodec, MaxPayload: c.cfg.MaxPayload, MaxInbound: c.cfg.MaxInbound, IDs: from.IDs,
		Metadata: from.Metadata, Trust: trust, Losses: &c.lasting.losses, CheckHeaders: numberable(p.sequence), Speaks: c.Speaks,
	}
	if source := from.CloudEvents; source != nil {
		p.envelope.Source = *source
	}
	if p.publish == nil {
		p.publish = func(ctx context.Context, m *Outgoing) error {
			if err := c.Encode(m); err != nil {
				return err
			}
			return c.Deliver(ctx, m, nil)
		}
	}
	err := p.retries.resolve()
	return p, errors.Join(err, untrusted)
}

// contextFields returns the headers that our propagator and OpenTelemetry's global
// one use.
func contextFields(own func() propagation.TextMapPropagator) []string {
	fields := otel.GetTextMapPropagator().Fields()
	if own != nil {
		fields = append(fields, own().Fields()...)
	}
	return fields
}

// Codec returns the codec of a name, or that of the settings when it is empty, which
// is nil where only bytes and texts are sent and received.
func (p *publisher) Codec(name string) (envelope.Codec, error) { return p.envelope.Named(name) }

// Encode encodes the body of a message, as [envelope.Settings.Encode] does.
func (p *publisher) Encode(m *Outgoing) error {
	return p.envelope.Encode(m)
}

// Deliver seals an encoded message and sends it. It returns nil only when the broker
// has acknowledged it (QoS 1 and 2), an outbox has it, or the bytes were handed to a
// live connection (QoS 0). retries is how often it is
// tried again, over the settings; nil leaves it to them.
func (p *publisher) Deliver(ctx context.Context, m *Outgoing, retries *int) error {
	if err := p.envelope.Seal(ctx, m); err != nil {
		return err
	}
	if retries == nil && m.Transmit == nil {
		return p.put(ctx, m, &p.retries)
	}
	r := p.retry(retries)
	if m.Transmit != nil {
		r.Attempts = 1 // the next request is as good as another attempt
	}
	return p.put(ctx, m, &r)
}

// DeliverAsync is Deliver without the wait for the acknowledgement: done is called
// once with the outcome, unless it returns an error.
func (p *publisher) DeliverAsync(ctx context.Context, m *Outgoing, done func(error)) error {
	if err := p.envelope.Seal(ctx, m); err != nil {
		return err
	}
	return p.putAsync(ctx, m, done)
}

// put brings a message on its way, waits for the outcome, and tells the hooks.
func (p *publisher) put(ctx context.Context, m *Outgoing, r *Retry) error {
	if !p.hooks.Publishing() {
		return p.bring(ctx, m, r)
	}
	started, unrouted := time.Now(), p.watchRoute(m)
	err := p.bring(ctx, m, r)
	info := publication(m)
	info.Unrouted = err == nil && unrouted.Load()
	p.outcome(info, started, err)
	return err
}

// watchRoute notes whether the broker had a subscriber for a message that goes
// past the outbox.
func (p *publisher) watchRoute(m *Outgoing) *atomic.Bool {
	unrouted := new(atomic.Bool)
	m.Unrouted = func() (again bool) {
		unrouted.Store(true)
		return false
	}
	return unrouted
}

// putAsync is put without the wait: done is called once with the outcome,
// unless it returns an error.
func (p *publisher) putAsync(ctx context.Context, m *Outgoing, done func(error)) error {
	if !p.hooks.Publishing() {
		return p.bringAsync(ctx, m, done)
	}
	started, info, unrouted := time.Now(), publication(m), p.watchRoute(m)
	err := p.bringAsync(ctx, m, func(err error) {
		info.Unrouted = err == nil && unrouted.Load()
		p.outcome(info, started, err)
		done(err)
	})
	if err != nil {
		p.outcome(info, started, err)
	}
	return err
}

// bring brings a message to the outbox, or to the broker.
func (p *publisher) bring(ctx context.Context, m *Outgoing, r *Retry) error {
	if p.keeps(m) {
		e, err := p.entry(ctx, m)
		if err != nil {
			return err
		}
		return p.outbox.Append(ctx, e)
	}
	p.number(m, 0)
	err := p.attempt(ctx, m, r)
	if p.envelope.Lighten(m, err) {
		err = p.attempt(ctx, m, r)
	}
	return err
}

func (p *publisher) bringAsync(ctx context.Context, m *Outgoing, done func(error)) error {
	if p.keeps(m) {
		e, err := p.entry(ctx, m)
		if err != nil {
			return err
		}
		return p.outbox.AppendAsync(ctx, e, done)
	}
	p.number(m, 0)
	err := ErrorOf("publish", m.Topic, p.client.PublishAsync(ctx, &m.Message, done))
	if p.envelope.Lighten(m, err) {
		err = ErrorOf("publish", m.Topic, p.client.PublishAsync(ctx, &m.Message, done))
	}
	return err
}

// publication describes the message that was published, without what belongs to the
// caller again.
func publication(m *Outgoing) event.PublishInfo {
	return event.PublishInfo{Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Size: len(m.Payload)}
}

// outcome calls the hooks.
func (p *publisher) outcome(info event.PublishInfo, started time.Time, err error) {
	info.Duration, info.Err = time.Since(started), err
	p.hooks.Published(info)
}

// Send publishes ready bytes: no codec, no middleware, no generic options. It
// returns as [Client.Deliver] does.
func (p *publisher) Send(ctx context.Context, m *Outgoing) error {
	m, err := p.envelope.SealBytes(m)
	if err != nil {
		return err
	}
	return p.put(ctx, m, &p.retries)
}

// SendAsync is [Client.Send] without the wait for the acknowledgement: done is
// called once with the outcome, unless SendAsync returns an error or it is nil.
func (p *publisher) SendAsync(ctx context.Context, m *Outgoing, done func(error)) error {
	m, err := p.envelope.SealBytes(m)
	if err != nil {
		return err
	}
	if done == nil {
		done = func(error) {}
	}
	return p.putAsync(ctx, m, done)
}
