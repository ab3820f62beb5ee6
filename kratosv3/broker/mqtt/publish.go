package mqtt

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// Publish encodes and sends a message, at QoS 1 unless an option sets another. It returns nil
// when the broker has acknowledged it (QoS 1 and 2), when the bytes were written to a live
// connection (QoS 0), or with [WithOutbox] once the message is in the outbox. While
// disconnected it waits for the connection until ctx ends, or for 10 s if ctx has no deadline.
// If MayHaveBeenSent of an error is set, publishing again may duplicate the message.
//
// On MQTT 5 these are user properties: the headers; the id, a UUIDv7 unless the caller sets
// one, as "id"; the trace context, if tracing is on; and Kratos metadata of ctx (its x-md-
// client metadata, and the x-md-global- metadata of the request that is being handled). The
// content type names the codec. MQTT 3.1.1 has no place for any of these, see
// [WithCloudEvents].
func (b *Broker) Publish(ctx context.Context, topic string, body any, opts ...event.CallOption) error {
	m, err := b.message(ctx, "publish", topic, body, opts)
	if err != nil {
		return err
	}
	return b.send(ctx, m)
}

// Request sends a request at QoS 1, and decodes the reply into the value that reply points to;
// a *[]byte takes its bytes, and nil drops it. It waits until ctx ends, or for 10 s if ctx has
// no deadline.
//
// Replies arrive on inbox/<client id>/<random UUID>, over a separate connection, <client
// id>-req, which is opened when first needed. Requests may be sent inside handlers: handlers do
// not delay replies. An error of the replier is a Kratos error with its code and reason.
// TIMEOUT and CLOSED have MayHaveBeenSent set: the request may have been carried out. On MQTT
// 3.1.1 both sides need [WithCloudEvents], or the reason is UNSUPPORTED. At most 2048 requests
// wait at a time; beyond that the error is QUOTA_EXCEEDED.
func (b *Broker) Request(ctx context.Context, topic string, body, reply any, opts ...event.CallOption) error {
	m, err := b.message(ctx, opRequest, topic, body, opts)
	if err != nil {
		return err
	}
	m.QoS, m.Retain = option.DefaultQoS, false
	return b.request(ctx, m, reply, requestTimeout)
}

// requestTimeout bounds a request whose context has no deadline.
const requestTimeout = 10 * time.Second

const opRequest = "request"

// Requester sends requests: a [Broker], and the server of package transport/mqtt.
type Requester interface {
	// Request sends a request and decodes the reply, see [Broker.Request].
	Request(ctx context.Context, topic string, body, reply any, opts ...event.CallOption) error
}

// Request sends a request and returns the decoded reply. Otherwise it behaves as
// [Broker.Request].
func Request[Resp any](ctx context.Context, r Requester, topic string, req any, opts ...event.CallOption) (*Resp, error) {
	reply := new(Resp)
	if err := r.Request(ctx, topic, req, reply, opts...); err != nil {
		return nil, err
	}
	return reply, nil
}

// message checks everything that can be checked before encoding and connecting.
func (b *Broker) message(ctx context.Context, op string, topic string, body any, opts []event.CallOption) (*client.Outgoing, error) {
	switch {
	case ctx == nil:
		return nil, client.BadRequest(op, topic, "context is nil")
	case body == nil:
		return nil, client.BadRequest(op, topic, "message body is nil")
	case ctx.Err() != nil:
		return nil, client.ErrorOf(op, topic, ctx.Err())
	}
	call := event.Call{Topic: topic, QoS: option.DefaultQoS}
	call.Apply(opts...)
	codec, err := b.codecOf("")
	if err != nil {
		return nil, client.CodecError(op, call.Topic, err)
	}
	m := &client.Outgoing{Body: body, Codec: codec, Key: call.OrderingKey, Again: call.Unrouted, Due: call.Due, SkipOutbox: call.SkipOutbox}
	return m, address(op, m, &call)
}

// address sets what a call says beside its body.
func address(op string, m *client.Outgoing, c *event.Call) error {
	if c.Expiry < 0 {
		return client.BadRequest(op, c.Topic, fmt.Sprintf("expiry of %v", c.Expiry))
	}
	m.Topic, m.QoS, m.Retain, m.MessageID = c.Topic, c.QoS, c.Retain, c.ID
	p := m.Props()
	p.Expiry, p.ContentType = c.Expiry, c.ContentType
	p.User = append(p.User, c.Headers...)
	return nil
}

// send publishes a message within its span, with the metadata of ctx.
func (b *Broker) send(ctx context.Context, m *client.Outgoing) error {
	c, err := b.of()
	if err != nil {
		return err
	}
	if m.Transmit == nil {
		m.Context = metadataOf(ctx)
	}
	ctx, span := b.spans.Send(ctx, m)
	err = c.Publish(ctx, m)
	client.EndSpan(span, err)
	return err
}

// request sends a request and decodes the reply.
func (b *Broker) request(ctx context.Context, m *client.Outgoing, reply any, timeout time.Duration) error {
	c, err := b.of()
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	codec := m.Codec
	d, err := c.Request(ctx, m, "")
	if err != nil || reply == nil {
		return err
	}
	if p, ok := reply.(*[]byte); ok {
		*p = append([]byte(nil), d.Data()...)
		return nil
	}
	if err := c.Decode(d, codec, reply); err != nil {
		return client.CodecError(opRequest, m.Topic, logsafe.Error(err))
	}
	return nil
}
