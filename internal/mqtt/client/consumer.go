package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// consumer reads the messages of one subscription for its handler.
type consumer struct {
	client  atomic.Pointer[Client] // that the subscription belongs to by now
	sub     *Subscription
	typed   *Typed
	handler Handler
	field   *envelope.IDField // declared in code; may be nil
	dedup   *deduper          // nil handles everything
	trusts  bool              // the sender, with the context of the handler
	filter  string
	skipped sync.Once // the log tells of deletions
}

// handle is one attempt. The message is decoded anew for each: a handler may
// have changed it.
func (c *consumer) handle(ctx context.Context, d *Delivery) error {
	err := c.receive(d)
	if errors.Is(err, errDeletion) {
		return c.skip()
	}
	if err != nil {
		return c.undecodable(ctx, d, envelope.FormError("decode", d.Topic, err))
	}
	ctx = withValues(ctx, c.typed.Values)
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
	err := client.envelope.Open(&d.Event, d.Letters())
	d.Trusted = c.trusts
	if d.CloudEvent() != nil {
		client.lasting.arrivedEvent(d)
	}
	var mismatch string
	if err == nil {
		mismatch, err = c.decode(&d.Event)
	}
	if err == nil && mismatch != "" {
		err = c.typed.Method.Mismatch(d, mismatch)
	}
	if err == nil {
		c.compare(d)
	}
	return err
}

// span starts the span of a call of the handler.
func (c *consumer) span(ctx context.Context, ds []*Delivery, batch bool) (context.Context, func(error)) {
	if c.typed.Span == nil {
		return ctx, func(error) {}
	}
	return c.typed.Span(ctx, ds, batch)
}

func (c *consumer) run(ctx context.Context, d *Delivery) error {
	d.begun = true
	if c.typed.Span == nil {
		return c.handler(ctx, d)
	}
	ctx, end := c.span(ctx, []*Delivery{d}, false)
	err := c.handler(ctx, d)
	end(err)
	return err
}

// decode decodes a message that was opened. mismatch is a field whose value in the
// payload differs from that in the topic.
func (c *consumer) decode(e *envelope.Event) (mismatch string, err error) {
	if c.typed.New == nil {
		e.Body = e.Data()
		return "", nil
	}
	err = e.Decode(c.typed.Codec, c.typed.New())
	if err != nil && e.Deletes() {
		return "", errDeletion
	}
	if err != nil {
		return "", err
	}
	if m := c.typed.Method; m != nil && m.Bind != nil {
		mismatch, err = m.Bind(e.Topic, e.Body)
	}
	if err == nil {
		c.identify(e)
	}
	return mismatch, err
}

// errDeletion is the error of an empty message that cannot be decoded.
var errDeletion = errors.New("no payload")

// skip acknowledges a deletion, which a handler of what was there has no value for.
func (c *consumer) skip() error {
	client := c.client.Load()
	client.lasting.deletions.Add(1)
	c.skipped.Do(func() {
		client.log.Infof("mqtt: an empty message, which deletes a retained one, is not for the handler of %q: such messages are counted in Deletions", c.filter)
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
	err := c.client.Load().envelope.Open(&d.Event, d.Letters())
	if err == nil {
		_, err = c.decode(&d.Event)
	}
	if err != nil {
		d.Body = d.Data()
	}
	c.typed.Failed(withValues(ctx, c.typed.Values), d, cause)
}

// open decodes a message for other purposes than its handler. It is read as far as
// possible also with an error.
func (c *consumer) open(in *Inbound, letters bool) (*envelope.Event, error) {
	e := &envelope.Event{Inbound: in}
	err := c.client.Load().envelope.Open(e, letters)
	if err == nil {
		_, err = c.decode(e)
	}
	return e, err
}

// eventID is the id of a message for its letter.
func (c *consumer) eventID(d *Delivery) string {
	e := &envelope.Event{Inbound: d.Inbound}
	err := c.client.Load().envelope.Open(e, d.Letters())
	if err == nil && c.declaresID() {
		_, _ = c.decode(e) // without it the header counts
	}
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
		if errors.Is(err, errDeletion) {
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
	ctx, end := c.span(withValues(ctx, c.typed.Values), read, true)
	items, err := c.handleEach(ctx, read)
	end(errors.Join(append(slices.DeleteFunc(slices.Clone(items), isWaiting), err)...))
	for i, item := range items {
		errs[at[i]] = item
	}
	return err
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
// counts; they are counted, and told once a minute.
type contradictions struct {
	ids, keys       atomic.Int64
	idLine, keyLine logsafe.PerMinute
}

// declaresID reports whether a field has the id of messages.
func (c *consumer) declaresID() bool {
	return c.field != nil || c.typed.Method != nil && c.typed.Method.ID != nil
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
		c.contradicts(d, &seen.ids, &seen.idLine, "id", id, own)
	}
	if m == nil || m.Key == nil {
		return
	}
	if header, _ := envelope.Last(d.Header(), envelope.OrderHeader); header != "" {
		if key := m.Key(d.Body); key != "" && key != header {
			c.contradicts(d, &seen.keys, &seen.keyLine, "ordering key", header, key)
		}
	}
}

func (c *consumer) contradicts(d *Delivery, count *atomic.Int64, line *logsafe.PerMinute, what, header, field string) {
	n := count.Add(1)
	if line.Due(time.Now()) {
		c.client.Load().log.Warnf("mqtt: filter %q: the %s %q in a header contradicts the field declared for it, %q, which counts: topic %q (%d so far, said once a minute)",
			c.filter, what, logsafe.Clip(header), logsafe.Clip(field), logsafe.Clip(d.Topic), n)
	}
}
