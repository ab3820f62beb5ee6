package bridge

import (
	"cmp"
	"context"
	"sync/atomic"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Publish encodes and sends a message. It returns nil only when the broker has
// acknowledged it (QoS 1, the default, and 2) or the bytes were handed to a
// live connection (QoS 0); with the async option it returns once the message
// is accepted into the in-flight window. The callback is called once: without
// the async option with what Publish returns, with it with the outcome of a
// message that Publish accepted by returning nil.
//
// The timeout option, like the context of WithPublishContext, bounds the whole
// of it. What the broker refused for now, and QoS 1 whose session it lost, is
// published again within that time; the retries option sets how often, and adds
// what got no acknowledgement. QoS 0 and 2 are not published again once they may
// have been sent.
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
	return client.ErrorOf(op, topic, ctx.Err())
}

// send is Publish behind the middleware.
func (s *state) send(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if err := checkPublish(ctx, "publish", topic, msg); err != nil { // a middleware may have changed them
		return err
	}
	if len(opts) > 0 {
		return s.sendWith(ctx, topic, msg, opts)
	}
	m := new(Message)
	err := s.encode(m, topic, msg, "", &PublishSettings{QoS: defaultQoS})
	if err != nil {
		return err
	}
	ctx, end := s.tracer.send(ctx, m)
	if err = s.envelope.Seal(ctx, m); err == nil {
		err = s.put(ctx, m, &s.retries)
	}
	end(err)
	return err
}

func (s *state) sendWith(ctx context.Context, topic string, msg *broker.Message, opts []broker.PublishOption) error {
	r, err := newPublishCall(topic, opts)
	topic = cmp.Or(r.own.Topic, topic)
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

func (s *state) sendSync(ctx context.Context, topic string, msg *broker.Message, r *publishCall) error {
	m := &r.msg
	err := s.encode(m, topic, msg, r.generic.BodyCodec, &r.own)
	if err != nil {
		return err
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	ctx, end := s.tracer.send(ctx, m)
	if err = s.envelope.Seal(ctx, m); err == nil {
		policy := s.retry(r.generic.Retries)
		if m.Transmit != nil {
			policy.Attempts = 1 // the next request is as good as another attempt
		}
		err = s.put(ctx, m, &policy)
	}
	end(err)
	return err
}

// put brings a message on its way, waits for the outcome, and tells the hooks.
func (s *state) put(ctx context.Context, m *Message, r *Retry) error {
	if len(s.told.publish) == 0 {
		return s.bring(ctx, m, r)
	}
	started, unrouted := time.Now(), s.watchRoute(m)
	err := s.bring(ctx, m, r)
	info := publication(m)
	info.Unrouted = err == nil && unrouted.Load()
	s.outcome(info, started, err)
	return err
}

// watchRoute notes whether the broker had a subscriber for a message that goes
// past the outbox.
func (s *state) watchRoute(m *Message) *atomic.Bool {
	unrouted := new(atomic.Bool)
	m.Unrouted = func() (again bool) {
		unrouted.Store(true)
		return false
	}
	return unrouted
}

// putAsync is put without the wait: done is called once with the outcome,
// unless it returns an error.
func (s *state) putAsync(ctx context.Context, m *Message, done func(error)) error {
	if len(s.told.publish) == 0 {
		return s.bringAsync(ctx, m, done)
	}
	started, info, unrouted := time.Now(), publication(m), s.watchRoute(m)
	err := s.bringAsync(ctx, m, func(err error) {
		info.Unrouted = err == nil && unrouted.Load()
		s.outcome(info, started, err)
		done(err)
	})
	if err != nil {
		s.outcome(info, started, err)
	}
	return err
}

// bring brings a message to the outbox, or to the broker.
func (s *state) bring(ctx context.Context, m *Message, r *Retry) error {
	if s.keeps(m) {
		e, err := s.entry(ctx, m)
		if err != nil {
			return err
		}
		return s.outbox.Append(ctx, e)
	}
	s.number(m, 0)
	err := s.attempt(ctx, m, r)
	if s.envelope.Lighten(m, err) {
		err = s.attempt(ctx, m, r)
	}
	return err
}

func (s *state) bringAsync(ctx context.Context, m *Message, done func(error)) error {
	if s.keeps(m) {
		e, err := s.entry(ctx, m)
		if err != nil {
			return err
		}
		return s.outbox.AppendAsync(ctx, e, done)
	}
	s.number(m, 0)
	err := client.ErrorOf("publish", m.Topic, s.client.PublishAsync(ctx, &m.Message, done))
	if s.envelope.Lighten(m, err) {
		err = client.ErrorOf("publish", m.Topic, s.client.PublishAsync(ctx, &m.Message, done))
	}
	return err
}

// publication says which message was published, without what belongs to the
// caller again.
func publication(m *Message) event.PublishInfo {
	return event.PublishInfo{Topic: m.Topic, QoS: m.QoS, Retain: m.Retain, Size: len(m.Payload)}
}

// outcome calls the hooks.
func (s *state) outcome(info event.PublishInfo, started time.Time, err error) {
	info.Duration, info.Err = time.Since(started), err
	s.protect("a hook", func() { tell(s.told.publish, event.PublishHook.OnPublish, info) })
}
