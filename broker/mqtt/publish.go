package mqtt

import (
	"cmp"
	"context"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Publish encodes and sends a message. It returns nil only when the broker has
// acknowledged it (QoS 1, the default, and 2) or the bytes were handed to a live
// connection (QoS 0). While disconnected it waits for the connection: within the
// context's deadline, or for 10 s. MayHaveBeenSent of an error reports whether
// publishing again may duplicate.
//
// With [WithOutbox] it returns nil once the message is in the outbox, also while
// disconnected. What the broker refuses for now is published again within the
// time of the call, see [WithRetry].
//
// How it is sent is said by [WithCallOptions]. On MQTT 5 the headers of a message
// are user properties, its id, a UUIDv7 where the caller gave none, is the user
// property "id", and the codec is named by the content type, which a subscriber
// decodes by when it names a registered codec. With the tracing options the
// trace context travels, too (traceparent, tracestate), and so does Kratos
// metadata of the context: its x-md- client metadata, and the x-md-global-
// metadata of the request being handled. MQTT 3.1.1 has no place for any of it:
// the message is sent without, which is counted in the health, and logged once;
// see [WithCloudEvents].
//
// Of kratos-transport's options the timeout, like the context of
// WithPublishContext, bounds the whole call. Retries, over [WithRetry], publish
// again what was refused for now or not acknowledged, as the same message; QoS 0
// and 2 are not published again once they may have been sent. An asynchronous
// publish has one attempt. Required acknowledgements of 0, 1 and 2 are the QoS, -1
// is QoS 1. With WithPublishAsync, Publish returns once the message is accepted
// into the in-flight window, and the callback is called once with the outcome when
// Publish returned nil, and not at all otherwise; without it the callback is always
// called, with what Publish returns. Callbacks run one at a time, in the order of
// acknowledgements: a slow one slows the publisher.
func (b *Broker) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if err := checkPublish(ctx, "publish", topic, msg); err != nil {
		return err
	}
	f, err := b.front()
	if err != nil {
		return err
	}
	return f.publish(ctx, topic, msg, opts...)
}

// Request sends a request at QoS 1 and returns the reply, whose body is its bytes
// unless [WithRequestBinder] says otherwise; the function [Request] decodes it.
//
// It waits within ctx, or the timeout option, else for 10 s. Replies come on
// inbox/<client id>/<random UUID>, unless broker.WithReplyTopic says otherwise, over a
// connection of their own, <client id>-req, which is opened when first needed and
// whose session the broker does not keep. Requests may be sent inside handlers, in
// any number at once: no handler holds up a reply. An error of the replier is a
// Kratos error with its code and reason. TIMEOUT and CLOSED have MayHaveBeenSent
// set: the request may have been carried out. MQTT 5 has response topic and
// correlation data; on 3.1.1 both sides need [WithCloudEvents], or the reason is
// UNSUPPORTED. At most 2048 requests wait at a time, and those for one topic take
// at most as many as they leave free; more is QUOTA_EXCEEDED. At most 64 topics for
// replies are subscribed to: those that no request waits on are given back, and a
// request that finds none waits for one.
func (b *Broker) Request(ctx context.Context, topic string, msg *broker.Message, opts ...broker.RequestOption) (*broker.Message, error) {
	if err := checkPublish(ctx, opRequest, topic, msg); err != nil {
		return nil, err
	}
	c, err := b.Client()
	if err != nil {
		return nil, err
	}
	own := newRequestCall(opts)
	o := &own.generic
	codec, err := c.Codec(o.BodyCodec)
	if err != nil {
		return nil, codecError("publish", topic, err)
	}
	if _, ok := ctx.Deadline(); !ok && o.Timeout <= 0 {
		o.Timeout = requestTimeout
	}
	limits := publishCall{generic: broker.PublishOptions{Context: o.Context, Timeout: o.Timeout}}
	ctx, cancel := limits.bound(ctx)
	defer cancel()
	d, err := c.Request(ctx, &envelope.Message{
		Message: client.Message{Topic: topic, QoS: defaultQoS},
		Body:    msg.Body, Codec: codec, Headers: msg.Headers, MessageID: msg.ID,
	}, o.ReplyTopic)
	if err != nil {
		return nil, err
	}
	if d.Body = d.Data(); own.binder != nil {
		if err := d.Decode(codec, own.binder()); err != nil {
			return nil, codecError(opRequest, topic, logsafe.Error(err))
		}
	}
	return newReceived(d).Message(), nil
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
func (f *front) send(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if err := checkPublish(ctx, "publish", topic, msg); err != nil { // a middleware may have changed them
		return err
	}
	r, err := newPublishCall(topic, opts)
	if err == nil {
		err = f.sendCall(ctx, cmp.Or(r.Topic, topic), msg, r)
	}
	if cb := r.generic.Callback; cb != nil && !r.generic.Async {
		f.client.Protect("publish callback", func() { cb(err) })
	}
	return err
}

func (f *front) sendCall(ctx context.Context, topic string, msg *broker.Message, r *publishCall) error {
	m, err := r.message(f.client, topic, msg)
	if err == nil {
		err = f.client.Encode(m)
	}
	if err != nil {
		return err
	}
	if r.generic.Async {
		return f.sendAsync(ctx, m, r)
	}
	ctx, cancel := r.bound(ctx)
	defer cancel()
	ctx, end := f.tracer.send(ctx, m)
	err = f.client.Deliver(ctx, m, r.retries())
	end(err)
	return err
}

// publishReady sends a request or a reply through the user's middleware.
func (f *front) publishReady(ctx context.Context, m *envelope.Message) error {
	msg := broker.NewMessage(m.Body, broker.WithID(m.MessageID), broker.WithHeaders(m.Headers))
	return f.publish(ctx, m.Topic, msg, publishing(func(p *publishCall) { p.take(m) }))
}
