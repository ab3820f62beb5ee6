package bridge

import (
	"context"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// consumer turns a delivery into kratos-transport's event and runs the user's
// handler on it.
type consumer struct {
	broker  *Broker
	handler broker.Handler
	codec   encoding.Codec
	binder  broker.Binder
	values  context.Context
}

// handle is one attempt. The message is decoded anew for each: a handler may
// have changed it.
func (c *consumer) handle(ctx context.Context, d *engine.Delivery) error {
	e := newEvent(d)
	if err := c.decode(e); err != nil {
		return err
	}
	ctx, end := c.broker.state().tracer.process(withValues(ctx, c.values), d)
	err := c.handler(ctx, e)
	end(err)
	return err
}

func (c *consumer) decode(e *Event) error {
	if c.binder == nil {
		e.msg.Body = e.delivery.Payload
		return nil
	}
	body, err := decode(c.codec, e.delivery.Payload, c.binder())
	if err != nil {
		return codecError("decode", e.delivery.Topic, err)
	}
	e.msg.Body = body
	return nil
}

// failed calls the generic error handler before a message is dead-lettered;
// the body of what cannot be decoded is its payload.
func (c *consumer) failed(ctx context.Context, d *engine.Delivery, cause error) {
	s := c.broker.state()
	h := s.options.ErrorHandler
	if h == nil {
		return
	}
	s.protect("error handler", func() {
		e := newEvent(d)
		e.err = cause
		if c.decode(e) != nil {
			e.msg.Body = d.Payload
		}
		if err := h(withValues(ctx, c.values), e); err != nil {
			s.log.Errorf("mqtt: error handler failed: topic %q: %v", d.Topic, err)
		}
	})
}

// valuesContext adds the values of a subscription's context to those of an
// attempt.
type valuesContext struct {
	context.Context
	values context.Context
}

// Value implements context.Context.
func (c valuesContext) Value(key any) any {
	if v := c.Context.Value(key); v != nil {
		return v
	}
	return c.values.Value(key)
}

func withValues(ctx, values context.Context) context.Context {
	if values == context.Background() {
		return ctx
	}
	return valuesContext{ctx, values}
}
