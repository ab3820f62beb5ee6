package bridge

import (
	"context"

	"github.com/tx7do/kratos-transport/broker"
)

// Publish encodes and sends a message. It returns nil only when the broker has
// acknowledged it (QoS 1, the default, and 2) or the bytes were handed to a
// live connection (QoS 0); with the async option it returns once the message
// is accepted into the in-flight window. The callback is called once: without
// the async option with what Publish returns, with it with the outcome of a
// message that Publish accepted by returning nil.
//
// The timeout option, like the context of WithPublishContext, bounds the whole
// of it. The retries option publishes again what was refused or got no
// acknowledgement, which may duplicate the message; QoS 2 is not published
// again once it may have been sent.
func (b *Broker) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if err := checkPublish(ctx, "publish", topic, msg); err != nil {
		return err
	}
	s := b.state()
	if s.err != nil {
		return s.err
	}
	return s.publish(ctx, topic, msg, opts...)
}

// checkPublish refuses what nothing needs to be encoded or connected for.
func checkPublish(ctx context.Context, op, topic string, msg *broker.Message) error {
	switch {
	case ctx == nil:
		return badRequest(op, topic, "context is nil")
	case msg == nil:
		return badRequest(op, topic, "message is nil")
	case msg.Body == nil:
		return badRequest(op, topic, "message body is nil")
	}
	return public(op, topic, ctx.Err())
}

// send is Publish behind the middleware.
func (s *state) send(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if err := checkPublish(ctx, "publish", topic, msg); err != nil { // a middleware may have changed them
		return err
	}
	if len(opts) > 0 {
		return s.sendWith(ctx, topic, msg, opts)
	}
	d, err := s.draft(topic, msg, "", &PublishSettings{QoS: defaultQoS})
	if err != nil {
		return err
	}
	ctx, end := s.tracer.send(ctx, d)
	m, err := s.message(ctx, d)
	if err == nil {
		err = public("publish", topic, s.client.Publish(ctx, m))
	}
	end(err)
	return err
}

func (s *state) sendWith(ctx context.Context, topic string, msg *broker.Message, opts []broker.PublishOption) error {
	r, err := newRequest(topic, opts)
	if err == nil && r.generic.Async {
		return s.sendAsync(ctx, topic, msg, r)
	}
	if err == nil {
		err = s.sendSync(ctx, topic, msg, r)
	}
	if cb := r.generic.Callback; cb != nil {
		s.protect("publish callback", func() { cb(err) })
	}
	return err
}

func (s *state) sendSync(ctx context.Context, topic string, msg *broker.Message, r *request) error {
	d, err := s.draft(topic, msg, r.generic.BodyCodec, &r.own)
	if err != nil {
		return err
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	ctx, end := s.tracer.send(ctx, d)
	m, err := s.message(ctx, d)
	if err == nil {
		err = retry(ctx, r.generic.Retries, m.QoS, func() error {
			return public("publish", topic, s.client.Publish(ctx, m))
		})
	}
	end(err)
	return err
}
