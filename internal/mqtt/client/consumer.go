package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// consumer reads the messages of one subscription for its handler.
type consumer struct {
	client  atomic.Pointer[Client] // that the subscription belongs to by now
	sub     *Subscription
	typed   *Typed
	handler Handler
	spans   *processing       // nil begins none
	field   *envelope.IDField // declared in code; may be nil
	dedup   *deduper          // nil handles everything
	trusts  bool              // the sender, with the context of the handler
	filter  string
	skipped sync.Once // logs deletions once
}

// handle is one attempt. The message is decoded anew for each: a handler may
// have changed it.
func (c *consumer) handle(ctx context.Context, d *Delivery) error {
	err := c.receive(d)
	if errors.Is(err, envelope.ErrDeletion) {
		return c.skip()
	}
	if err != nil {
		return c.undecodable(ctx, d, envelope.FormError("decode", d.Topic, err))
	}
	ctx = withValues(ctx, c.typed.Values)
	if c.spans == nil {
		return c.attempt(ctx, d)
	}
	ctx, span := c.spans.one(ctx, d)
	failed := errUnfinished // remains if the handler does not return
	defer func() { EndSpan(span, failed) }()
	if span.IsRecording() {
		d.within(ctx)
	}
	err = c.attempt(ctx, d)
	if failed = err; delivery.IsLater(err) { // nothing was tried
		failed = nil
	}
	return err
}

// attempt calls the handler, in the transaction of the dedup window if there is one.
func (c *consumer) attempt(ctx context.Context, d *Delivery) error {
	if c.dedup == nil {
		return c.run(ctx, d)
	}
	return c.once(ctx, d, func(ctx context.Context) error { return c.run(ctx, d) })
}

// receive decodes a message for its handler. It is read as far as possible also with
// an error.
func (c *consumer) receive(d *Delivery) error {
	client := c.client.Load()
	d.begun = false
	mismatch, err := c.read(&d.Event, d.Letters())
	if d.CloudEvent() != nil {
		client.lasting.checkEventSequence(d)
	}
	if err == nil && mismatch != "" {
		err = c.typed.Method.Mismatch(d, mismatch)
	}
	if err == nil {
		c.compare(d)
	}
	return err
}

func (c *consumer) run(ctx context.Context, d *Delivery) error {
	d.begun = true
	return c.handler(ctx, d)
}

// read opens and decodes a message, as far as possible also with an error. mismatch is a
// field whose value in the payload differs from that in the topic.
func (c *consumer) read(e *envelope.Event, letters bool) (mismatch string, err error) {
	t := c.typed
	if err = c.client.Load().envelope.Read(e, letters, t.Codec, t.New); err != nil || t.New == nil {
		return "", err
	}
	if m := t.Method; m != nil && m.Bind != nil {
		mismatch, err = m.Bind(e.Topic, e.Body)
	}
	if err == nil {
		c.identify(e)
	}
	return mismatch, err
}

// skip acknowledges a deletion, which a handler of what was there has no value for.
func (c *consumer) skip() error {
	client := c.client.Load()
	client.lasting.deletions.Add(1)
	c.skipped.Do(func() {
		client.log.Info("mqtt: an empty message, which deletes a retained one, is not for the handler: such messages are counted in Deletions", logsafe.KeyFilter, c.filter)
	})
	return nil
}

// undecodable lets a replier answer its requester with an error.
func (c *consumer) undecodable(ctx context.Context, d *Delivery, err error) error {
	if c.typed.Undecodable == nil {
		return err
	}
	return c.typed.Undecodable(withValues(ctx, c.typed.Values), d, err)
}

// failed tells before a message is dead-lettered.
func (c *consumer) failed(ctx context.Context, d *Delivery, cause error) {
	if _, err := c.read(&d.Event, d.Letters()); err != nil {
		d.Body = d.Data()
	}
	c.typed.Failed(withValues(ctx, c.typed.Values), d, cause)
}

// open decodes a message for other purposes than its handler. It is read as far as
// possible also with an error.
func (c *consumer) open(in *Inbound, letters bool) (*envelope.Event, error) {
	e := &envelope.Event{Inbound: in}
	_, err := c.read(e, letters)
	return e, err
}

// eventID is the id of a message for its letter.
func (c *consumer) eventID(d *Delivery) string {
	e := &envelope.Event{Inbound: d.Inbound}
	_, _ = c.read(e, d.Letters()) // what cannot be decoded has the id of its header
	return e.ID()
}

// collect sets the batches of the subscription.
func (c *consumer) collect(s *Subscription) {
	if b := c.typed.Batch; b != nil {
		s.Batch = &Batch{MaxSize: b.MaxSize, MaxWait: b.MaxWait, Handler: c.handleMany}
	}
}

// handleMany keeps what cannot be decoded from the handler.
func (c *consumer) handleMany(ctx context.Context, ds []*Delivery, errs []error) error {
	read, at := make([]*Delivery, 0, len(ds)), make([]int, 0, len(ds))
	for i, d := range ds {
		err := c.receive(d)
		if errors.Is(err, envelope.ErrDeletion) {
			_ = c.skip()
			continue
		}
		if err != nil {
			errs[i] = envelope.FormError("decode", d.Topic, err)
			continue
		}
		read, at = append(read, d), append(at, i)
	}
	if len(read) == 0 {
		return nil
	}
	items, err := c.together(withValues(ctx, c.typed.Values), read)
	for i, item := range items {
		errs[at[i]] = item
	}
	return err
}

// together handles a batch within its span.
func (c *consumer) together(ctx context.Context, ds []*Delivery) (items []error, err error) {
	if c.spans == nil {
		return c.handleEach(ctx, ds)
	}
	ctx, span := c.spans.many(ctx, ds)
	failed := errUnfinished
	defer func() { EndSpan(span, failed) }()
	if span.IsRecording() {
		for _, d := range ds {
			d.within(ctx)
		}
	}
	items, err = c.handleEach(ctx, ds)
	failed = errors.Join(append(slices.DeleteFunc(slices.Clone(items), isWaiting), err)...)
	return items, err
}

// isWaiting reports whether an error is of no attempt.
func isWaiting(err error) bool { return errors.Is(err, dedup.ErrRunning) }

// valuesContext puts the values of a subscription's context over those of an
// attempt, which are Start's.
type valuesContext struct {
	context.Context
	values context.Context // never ends
}

// Value implements context.Context.
func (c valuesContext) Value(key any) any {
	if v := c.values.Value(key); v != nil {
		return v
	}
	return c.Context.Value(key)
}

func withValues(ctx, values context.Context) context.Context {
	if values == nil {
		return ctx
	}
	return valuesContext{ctx, values}
}

// contradictions are messages whose header and declared field differ. The field
// counts; they are counted, and logged once a minute.
type contradictions struct {
	ids, keys atomic.Int64
}

// identify takes the id out of the field that is declared for it: in code, else
// in the method.
func (c *consumer) identify(e *envelope.Event) {
	switch {
	case c.field != nil:
		e.Identify(c.field.Of(e.Body))
	case c.typed.Method != nil && c.typed.Method.ID != nil:
		e.Identify(c.typed.Method.ID(e.Body))
	}
}

// compare notes a header that contradicts a declared field, once for a message.
func (c *consumer) compare(d *Delivery) {
	if len(d.Header()) == 0 || !d.First() {
		return
	}
	seen, m := &c.client.Load().lasting.contradictions, c.typed.Method
	if id, own := envelope.HeaderID(d.Header()), d.DeclaredID(); own != "" && id != "" && id != own {
		c.contradicts(d, &seen.ids, "id", id, own)
	}
	if m == nil || m.Key == nil {
		return
	}
	if header, _ := envelope.Last(d.Header(), envelope.OrderHeader); header != "" {
		if key := m.Key(d.Body); key != "" && key != header {
			c.contradicts(d, &seen.keys, "ordering key", header, key)
		}
	}
}

func (c *consumer) contradicts(d *Delivery, count *atomic.Int64, what, header, field string) {
	count.Add(1)
	log := c.client.Load().log
	log.Seldom("contradicting "+what, func(more []any) {
		log.Warn("mqtt: the "+what+" in a header contradicts the field declared for it, which counts", append(more, logsafe.KeyFilter, c.filter,
			logsafe.KeyTopic, d.Topic, logsafe.KeyValue, header, logsafe.KeyField, field, logsafe.KeyTotal, count.Load())...)
	})
}
