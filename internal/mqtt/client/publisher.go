package client

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/partition"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// publisher is the way of a message out: sealed, and into the outbox or to the broker. Only
// its sending changes. Its methods are safe for concurrent use.
type publisher struct {
	log      logsafe.Log
	hooks    *hook.Set
	spans    *Spans // nil begins none
	envelope *envelope.Settings
	sending  *atomic.Pointer[sending]
	through  func(ctx context.Context, m *Outgoing) error // the front, for requests and replies

	run      func() *run                  // that publishes go to; nil while stopped
	absent   func(op, topic string) error // the error while stopped
	speaks   func() session.Protocol      // the version of the broker, as far as it is known
	headless *atomic.Int64                // messages that were sent without their headers
	unplaced *sync.Once                   // the log tells that there is no place for a sequence

	outbox   *outbox.Outbox    // nil sends at once
	delays   string            // the prefix of topics by which the broker delays messages; "" if it does not
	sequence *sequence.Numbers // nil numbers nothing

	partitions int // number of partitions of topics with the level {partition}
}

// sending is how often and for how long a message is sent, which Reload replaces.
type sending struct {
	retries Retry
	timeout time.Duration // of a publish whose context has no deadline
}

// Outgoing is a message on its way out.
type Outgoing = envelope.Message

// newPublisher resolves how messages are written, and how they are sent, and reports
// every problem of it.
func newPublisher(c *Client, from *Settings) (publisher, error) {
	p := publisher{
		log: c.log, hooks: c.hooks, spans: from.Spans, sending: c.cfg.sending, through: from.Publish,
		partitions: c.cfg.Partitions.Count, run: c.publishing, absent: c.absent, speaks: c.Speaks, headless: &c.counts.headless, unplaced: &c.lasting.unplaced,
	}
	first, err := newSending(c.cfg.PublishTimeout, from.Retry)
	p.sending.Store(&first)
	p.delays = c.cfg.Preset.Delays
	if from.Sequence {
		p.sequence = sequence.NewNumbers(c.cfg.ClientID)
	}
	trust, untrusted := envelope.NewTrust(from.AllowedMetadata, contextFields(from.Propagator))
	p.envelope = &envelope.Settings{
		Codecs: from.Codecs, MaxPayload: c.cfg.MaxPayload, MaxInbound: c.cfg.MaxInbound, IDs: from.IDs, SentAt: from.SentAt,
		Trust: trust, Losses: &c.lasting.losses,
	}
	if p.sequence != nil {
		p.envelope.CheckHeaders = sequence.Check // they would be there twice
	}
	if source := from.CloudEvents; source != nil {
		p.envelope.Source = *source
	}
	if p.through == nil {
		p.through = c.Publish
	}
	return p, errors.Join(err, untrusted)
}

func newSending(timeout time.Duration, r Retry) (sending, error) {
	err := r.resolve()
	if timeout <= 0 {
		timeout = DefaultPublishTimeout
	}
	return sending{r, timeout}, err
}

// limit is the time limit of a publish whose context has no deadline.
func (p *publisher) limit() time.Duration { return p.sending.Load().timeout }

// contextFields returns the headers that our propagator and OpenTelemetry's global
// one use.
func contextFields(own func() propagation.TextMapPropagator) []string {
	fields := otel.GetTextMapPropagator().Fields()
	if own != nil {
		fields = append(fields, own().Fields()...)
	}
	return fields
}

// Publish seals a message and sends it, or puts it into the outbox. It returns nil only
// when the broker has acknowledged it (QoS 1 and 2), an outbox has it, or the bytes were
// handed to a live connection (QoS 0). A message that is refused for now is tried again.
//
// With Done it waits only for a connection and for room, and Done is called once with the
// outcome, unless Publish returns an error.
func (p *publisher) Publish(ctx context.Context, m *Outgoing) error {
	if err := p.place(m); err != nil {
		return err
	}
	version := Auto
	if !m.Encoded { // ready bytes are the same on both
		version = p.speaks()
	}
	err := p.envelope.Seal(m, version)
	if p.hooks.Publishing() {
		return p.measured(ctx, m, err)
	}
	if err != nil {
		return err
	}
	return p.bring(ctx, m)
}

// place replaces the level {partition} of a topic by the partition of the message's key.
func (p *publisher) place(m *Outgoing) error {
	if !partition.Has(m.Topic) {
		return nil
	}
	switch {
	case p.partitions == 0:
		return BadRequest("publish", m.Topic, "the topic has partitions, want their number in the settings (partitions.count)")
	case m.Key == "":
		return BadRequest("publish", m.Topic, "the topic has partitions, but the message has no ordering key")
	}
	m.Topic = partition.Place(m.Topic, strconv.Itoa(event.PartitionOf(m.Key, p.partitions)))
	return nil
}

// measured brings a message on its way, unless it could not be sealed, and tells the hooks
// of the outcome.
func (p *publisher) measured(ctx context.Context, m *Outgoing, err error) error {
	// Without what belongs to the caller again.
	r := &report{publisher: p, done: m.Done, started: time.Now(), info: event.PublishInfo{
		Topic: m.Topic, Template: m.Template, Operation: m.Operation, QoS: m.QoS, Retain: m.Retain, Size: len(m.Payload), Context: ctx,
	}}
	if !p.keeps(m) {
		r.info.Attempts = 1
		m.Unrouted = r.noSubscriber
	}
	if p.hooks.Payloads() {
		r.info.ID, r.info.Message = m.SentID(), shown(m)
	}
	if r.done != nil {
		m.Done = r.is
	}
	if err == nil {
		err = p.bring(ctx, m)
	}
	if err != nil || r.done == nil {
		r.info.Attempts = max(r.info.Attempts, m.Attempts)
		r.tell(err)
	}
	return err
}

// report is what the hooks receive about a publish.
type report struct {
	publisher *publisher
	done      func(error) // of the caller; nil if it waits
	started   time.Time
	unrouted  atomic.Bool
	info      event.PublishInfo
}

// noSubscriber notes that no subscription matches the message.
func (r *report) noSubscriber() (again bool) {
	r.unrouted.Store(true)
	return false
}

func (r *report) is(err error) {
	defer r.done(err) // also when a hook ends the goroutine
	r.tell(err)
}

func (r *report) tell(err error) {
	r.info.Duration, r.info.Err, r.info.Unrouted = time.Since(r.started), err, err == nil && r.unrouted.Load()
	r.publisher.hooks.Published(r.info)
}

// keeps reports whether a message goes through the outbox.
func (p *publisher) keeps(m *Outgoing) bool { return p.outbox != nil && m.QoS > 0 && !m.SkipOutbox }

// shown returns a message for the hooks: a copy if its memory belongs to the caller again by
// then.
func shown(m *Outgoing) *message.Message {
	view := envelope.View(&m.Message)
	if m.Done != nil {
		view = envelope.Stored(&m.Message)
	}
	return &view
}

// bring brings a sealed message to the outbox, or to the broker. QoS 0 does not go through
// the outbox: it promises nothing, and has to be quick.
func (p *publisher) bring(ctx context.Context, m *Outgoing) error {
	if p.keeps(m) {
		return p.keep(ctx, m)
	}
	p.number(m, 0)
	if !m.Due.IsZero() {
		if err := delayAtBroker(m, p.delays, p.outbox != nil, time.Now()); err != nil {
			return err
		}
	}
	var started time.Time
	if m.Done == nil { // else it is not tried again
		started = time.Now()
	}
	err := p.send(ctx, m)
	if err == nil {
		return nil
	}
	return p.again(ctx, m, started, err)
}

// send is one attempt, on the connection of the topic.
func (p *publisher) send(ctx context.Context, m *Outgoing) error {
	if m.Transmit != nil {
		own := *m // in memory of its own: the fast path needs none
		return m.Transmit(ctx, &own)
	}
	r := p.run()
	if r == nil {
		return p.absent("publish", m.Topic)
	}
	err := r.pubs.of(m.Topic).Publish(ctx, &m.Message)
	if err == nil {
		p.accepted(r, &m.Message)
	}
	return ErrorOf("publish", m.Topic, err)
}

// answer publishes the answer to a request as send does, on a connection of its own: what
// cannot be delivered there delays nothing that is published, nor the other way round.
func (p *publisher) answer(ctx context.Context, m *Message) error {
	r := p.run()
	if r == nil {
		return p.absent("publish", m.Topic)
	}
	err := r.answers.publish(ctx, m)
	if err == nil {
		p.accepted(r, m)
	}
	return err
}

// accepted looks at a message that a connection took: only then is the protocol known for
// sure. What MQTT 3.1.1 has no place for is logged once.
func (p *publisher) accepted(r *run, m *Message) {
	h := m.Properties
	headers := h != nil && (len(h.User) > 0 || h.Expiry > 0)
	if !headers && p.sequence == nil || r.version.Settled() != Version31 {
		return
	}
	if headers && p.headless.Add(1) == 1 {
		p.log.Warn("mqtt: headers are not sent: MQTT 3.1.1 has no place for user properties and expiry: logged once", logsafe.KeyTopic, m.Topic)
	}
	if p.sequence != nil && p.envelope.Source == "" {
		p.unplaced.Do(func() {
			p.log.Warn("mqtt: messages are not numbered: MQTT 3.1.1 has no place for a sequence without the CloudEvents carrier")
		})
	}
}
