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
// acknowledged it (QoS 1, the default, and 2) or the bytes were written to a live
// connection (QoS 0). While disconnected it waits for the connection until the
// context's deadline, or for 10 s. MayHaveBeenSent of an error reports whether
// publishing again may duplicate the message.
//
// With [WithOutbox] it returns nil once the message is in the outbox, also while
// disconnected. A message that the broker refuses temporarily is retried within the
// time of the call, see [WithRetry].
//
// [WithCallOptions] sets how the message is sent. On MQTT 5 the headers of a message
// are user properties. Its id, a UUIDv7 unless the caller sets one, is the user
// property "id". The content type names the codec; a subscriber decodes with it if that
// codec is registered. With the tracing options the trace context is sent, too
// (traceparent, tracestate), and so is the Kratos metadata of the context: its x-md-
// client metadata, and the x-md-global- metadata of the request being handled. MQTT
// 3.1.1 cannot carry any of these: the message is sent without them, which is counted
// in Health and logged once; see [WithCloudEvents].
//
// Of kratos-transport's options, the timeout, like the context of WithPublishContext,
// bounds the whole call. Retries, which take precedence over [WithRetry], publish a
// message again, as the same message, if it was refused temporarily or not
// acknowledged; QoS 0 and 2 are not published again once they may have been sent. An
// asynchronous publish has one attempt. Required acknowledgements of 0, 1 and 2 set the
// QoS, -1 means QoS 1. With WithPublishAsync, Publish returns once the message is
// accepted into the in-flight window. If it returns nil, the callback is called once
// with the outcome, otherwise not at all. Without WithPublishAsync the callback is
// always called, with the result of Publish. Callbacks run one at a time, in the order
// of acknowledgements: a slow one slows the publisher.
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

// Request sends a request at QoS 1 and returns the reply. The reply's body is its bytes
// unless [WithRequestBinder] is used; the function [Request] decodes it.
//
// It waits until ctx ends, or the timeout option, else for 10 s. Replies arrive on
// inbox/<client id>/<random UUID>, unless broker.WithReplyTopic sets another topic,
// over a separate connection, <client id>-req, which is opened when first needed and
// whose session the broker does not keep. Requests may be sent inside handlers, and any
// number at once: handlers do not delay replies. An error of the replier is a Kratos
// error with its code and reason. TIMEOUT and CLOSED have MayHaveBeenSent set: the
// request may have been carried out. MQTT 5 has response topic and correlation data; on
// 3.1.1 both sides need [WithCloudEvents], or the reason is UNSUPPORTED. At most 2048
// requests wait at a time, and those for one topic take at most as many as they leave
// free; beyond that the error is QUOTA_EXCEEDED. At most 64 reply topics are subscribed
// to: unused ones are released, and a request that finds none free waits for one.
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

// checkPublish checks everything that can be checked before encoding and connecting.
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

// send is Publish without the middleware.
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
