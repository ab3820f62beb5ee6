package mqtt

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/hook"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// Publish encodes and sends a message. It returns nil when the broker has acknowledged it
// (QoS 1, the default, and QoS 2), or when the bytes were written to a live connection
// (QoS 0). While disconnected it waits for the connection until ctx ends, or for 10 s if
// ctx has no deadline. If MayHaveBeenSent of an error is set, publishing again may
// duplicate the message. A message that the broker refuses temporarily is retried within
// the time of the call, see [WithRetry]. With [WithOutbox], Publish returns nil once the
// message is in the outbox, also while disconnected.
//
// [WithCallOptions] sets how the message is sent. On MQTT 5 these are user properties: the
// headers; the id, a UUIDv7 unless the caller sets one, as "id"; the trace context, if
// tracing is on; and Kratos metadata of ctx (its x-md- client metadata, and the
// x-md-global- metadata of the request that is being handled). The content type names the
// codec, and a subscriber that has it registered decodes with it. MQTT 3.1.1 has no place
// for any of these: the message is sent without them, which Health counts and the log says
// once; see [WithCloudEvents].
//
// kratos-transport's options mean the following here. The timeout, and the context of
// WithPublishContext, bound the whole call. Retries take precedence over [WithRetry]: the
// same message is published again if it was refused temporarily or not acknowledged, but
// at QoS 0 and 2 only if it cannot have been sent. Required acknowledgements of 0, 1 and 2
// set the QoS, and -1 means QoS 1.
//
// With WithPublishAsync, Publish makes one attempt and returns when there is room in the
// in-flight window. If it returns nil, the callback is called once with the result, and
// otherwise not at all. Without WithPublishAsync the callback is always called, with the
// result of Publish, before that returns. Otherwise the callbacks of one topic run one at a
// time, in the order of acknowledgements: a slow one slows the publisher. The callback of a
// publish whose timeout ends first may run at the same time as others.
func (b *Broker) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	f, err := b.front()
	if bad := checkPublish(ctx, "publish", topic, msg); bad != nil {
		err = bad
	}
	switch {
	case err != nil:
		f.unsent(topic, opts, err)
		return err
	case len(opts) == 0 || len(f.options.PublishMiddlewares) == 0:
		return f.publish(ctx, topic, msg, opts...)
	}
	var sent atomic.Bool
	note := publishing(func(*publishCall) { sent.Store(true) })
	if err = f.publish(ctx, topic, msg, append(slices.Clip(opts), note)...); !sent.Load() {
		f.unsent(topic, opts, err)
	}
	return err
}

// unsent calls the callback of a publish that ended before send, such as in a middleware.
func (f *front) unsent(topic string, opts []broker.PublishOption, err error) {
	r, _ := f.newPublishCall(topic, new(broker.Message), opts) // has the callback also with an error
	if cb := r.generic.Callback; cb != nil && (err == nil || !r.generic.Async) {
		hook.Protect(f.log, "publish callback", func() { cb(err) })
	}
}

// Request sends a request at QoS 1 and returns the reply. The reply's body is its bytes
// unless [WithRequestBinder] is used; the function [Request] decodes it.
// The reply ends the request also if the broker has not acknowledged the request yet: its
// publish then goes on for at most the timeout of a publish, hooks and middleware learn
// its own outcome, and Stop waits for it. A middleware that panics is an error.
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
	f, err := b.front()
	if err != nil {
		return nil, err
	}
	own := newRequestCall(opts)
	o := &own.generic
	if _, ok := ctx.Deadline(); !ok && o.Timeout <= 0 {
		o.Timeout = requestTimeout
	}
	r, err := f.newPublishCall(topic, msg, append(own.publish, func(p *broker.PublishOptions) {
		p.Context, p.Timeout, p.BodyCodec = o.Context, o.Timeout, o.BodyCodec
	}))
	if err != nil {
		return nil, err
	}
	m := &r.msg
	codec := m.Codec
	ctx, cancel := r.bound(ctx)
	defer cancel()
	d, err := f.client.Request(ctx, m, o.ReplyTopic)
	if err != nil {
		return nil, err
	}
	if d.Body = d.Data(); own.binder != nil {
		if err := f.client.Decode(d, codec, own.binder()); err != nil {
			return nil, client.CodecError(opRequest, topic, logsafe.Error(err))
		}
	}
	return newReceived(d).Message(), nil
}

// checkPublish checks everything that can be checked before encoding and connecting.
func checkPublish(ctx context.Context, op, topic string, msg *broker.Message) error {
	switch {
	case ctx == nil:
		return client.BadRequest(op, topic, "context is nil")
	case msg == nil:
		return client.BadRequest(op, topic, "message is nil")
	case msg.Body == nil:
		return client.BadRequest(op, topic, "message body is nil")
	}
	return client.ErrorOf(op, topic, ctx.Err())
}

// send is Publish without the middleware.
func (f *front) send(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	if err := checkPublish(ctx, "publish", topic, msg); err != nil { // a middleware may have changed them
		return err
	}
	if len(opts) == 0 { // stays on the stack
		m := envelope.Message{Message: client.Message{QoS: option.DefaultQoS}, Codec: f.options.Codec}
		complete(&m, topic, msg)
		return f.sendMessage(ctx, &m, nil)
	}
	r, err := f.newPublishCall(topic, msg, opts)
	if err == nil {
		err = f.sendCall(ctx, r)
	}
	if cb := r.generic.Callback; cb != nil && !r.generic.Async {
		f.client.Protect("publish callback", func() { cb(err) })
	}
	return err
}

func (f *front) sendCall(ctx context.Context, r *publishCall) error {
	ctx, cancel := r.bound(ctx) // with a callback, of the admission only
	defer cancel()
	if !r.generic.Async {
		return f.sendMessage(ctx, &r.msg, nil)
	}
	started := time.Now()
	r.outcome.front, r.outcome.callback = f, r.generic.Callback
	if err := f.sendMessage(ctx, &r.msg, &r.outcome); err != nil {
		return err
	}
	r.msg.Body, r.msg.Payload = nil, nil // were copied, and r lives until the outcome
	if r.generic.Timeout > 0 {
		r.outcome.expire(r.generic.Timeout-time.Since(started), r.msg.Topic)
	}
	return nil
}

// sendMessage publishes a message within its span, with the metadata of ctx. If o is not nil,
// it does not wait for the outcome, which o tells unless there is an error.
func (f *front) sendMessage(ctx context.Context, m *envelope.Message, o *outcome) error {
	if m.Transmit == nil {
		m.Context = metadataOf(ctx)
	}
	ctx, span := f.spans.Send(ctx, m)
	if o != nil {
		o.span, m.Done = span, o.is
	}
	err := f.client.Publish(ctx, m)
	if err != nil || o == nil {
		client.EndSpan(span, err)
	}
	return err
}

// publishReady sends a request or a reply through the user's middleware.
func (f *front) publishReady(ctx context.Context, m *envelope.Message) error {
	msg := broker.NewMessage(m.Body, broker.WithID(m.MessageID), broker.WithHeaders(m.Headers))
	return f.publish(ctx, m.Topic, msg, publishing(func(p *publishCall) { p.take(m) }))
}
