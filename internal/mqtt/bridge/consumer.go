package bridge

import (
	"context"
	"errors"
	"sync"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// consumer turns a delivery into kratos-transport's event and runs the user's
// handler on it.
type consumer struct {
	broker  *Broker
	handler broker.Handler
	codec   envelope.Codec
	binder  broker.Binder
	values  context.Context
	refuse  func(context.Context, *Event, error) error // may be nil
	field   *envelope.IDField                          // declared in code; nil is none
	dedup   *deduper                                   // nil handles everything
	method  *Method                                    // nil is a subscription by hand
	batch   *Batch                                     // nil handles each message by itself
	trusts  bool                                       // the sender, with the context of the handler
	filter  string
	skipped sync.Once // the log tells of deletions
}

// handle is one attempt. The message is decoded anew for each: a handler may
// have changed it.
func (c *consumer) handle(ctx context.Context, d *client.Delivery) error {
	s := c.broker.state()
	e, err := c.receive(s, d)
	if errors.Is(err, errDeletion) {
		return c.skip(s)
	}
	if err != nil {
		return c.undecodable(ctx, e, envelope.FormError("decode", d.Topic, err))
	}
	ctx = withValues(ctx, c.values)
	if c.dedup == nil {
		return c.run(ctx, s, e)
	}
	return c.once(ctx, e, func(ctx context.Context) error { return c.run(ctx, s, e) })
}

// receive decodes a message for its handler. The event is there also with an
// error.
func (c *consumer) receive(s *state, d *client.Delivery) (*Event, error) {
	e, err := s.open(d)
	e.codec, e.Trusted = c.codec, c.trusts
	c.broker.inEvent(e)
	if err == nil {
		err = c.decode(e)
	}
	if err == nil && e.mismatch != "" {
		err = c.method.Mismatch(d, e.mismatch)
	}
	if err == nil {
		c.compare(e)
	}
	return e, err
}

func (c *consumer) run(ctx context.Context, s *state, e *Event) error {
	e.begun = true
	ctx, end := s.tracer.process(ctx, e)
	err := c.handler(ctx, e)
	end(err)
	return err
}

func (c *consumer) decode(e *Event) error {
	if c.binder == nil {
		e.msg.Body = e.Data()
		return nil
	}
	err := e.Decode(c.codec, c.binder())
	if err != nil && e.Deletes() {
		return errDeletion
	}
	if err != nil {
		return err
	}
	e.msg.Body = e.Body
	if err = c.method.bind(e); err == nil {
		c.identifyBy(e)
	}
	return err
}

// errDeletion is the error of an empty message that cannot be decoded.
var errDeletion = errors.New("no payload")

// skip acknowledges a deletion, which a handler of what was there has no value for.
func (c *consumer) skip(s *state) error {
	c.broker.deletions.Add(1)
	c.skipped.Do(func() {
		s.log.Infof("mqtt: an empty message, which deletes a retained one, is not for the handler of %q: such messages are counted in Deletions", c.filter)
	})
	return nil
}

// undecodable gives a replier the chance to tell its requester.
func (c *consumer) undecodable(ctx context.Context, e *Event, err error) error {
	if c.refuse == nil {
		return err
	}
	return c.refuse(withValues(ctx, c.values), e, err)
}

// failed calls the generic error handler before a message is dead-lettered;
// the body of what cannot be decoded is its payload.
func (c *consumer) failed(ctx context.Context, d *client.Delivery, cause error) {
	s := c.broker.state()
	h := s.options.ErrorHandler
	if h == nil {
		return
	}
	s.protect("error handler", func() {
		e, err := s.open(d)
		e.err = cause
		if err != nil || c.decode(e) != nil {
			e.msg.Body = e.Data()
		}
		if err := h(withValues(ctx, c.values), e); err != nil {
			s.log.Errorf("mqtt: error handler failed: topic %q: %v", d.Topic, err)
		}
	})
}

// eventID is the id of a message for its letter.
func (c *consumer) eventID(d *client.Delivery) string {
	e, err := c.broker.state().open(d)
	if e.codec = c.codec; err == nil && c.declaresID() {
		_ = c.decode(e) // without it the header counts
	}
	return e.ID()
}

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

// valuesOf returns the values of a subscription's context without its end, which
// the context package would take for that of the attempt; nil without any.
func valuesOf(ctx context.Context) context.Context {
	if ctx == nil || ctx == context.Background() {
		return nil
	}
	return context.WithoutCancel(ctx)
}

func withValues(ctx, values context.Context) context.Context {
	if values == nil {
		return ctx
	}
	return valuesContext{ctx, values}
}
