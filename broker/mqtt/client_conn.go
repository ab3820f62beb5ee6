package mqtt

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// ClientOption configures [NewClientConn].
type ClientOption func(*clientConn)

// TopicPrefix puts levels in front of every topic, such as "site/plant1". A slash at
// the end is ignored; one at the start is kept. Default: none.
func TopicPrefix(levels string) ClientOption {
	return func(c *clientConn) {
		if c.prefix = ""; levels != "" {
			c.prefix = strings.TrimRight(levels, "/") + "/"
		}
	}
}

// NewClientConn returns the connection that generated clients publish through. b is a
// broker of this package, or another one of kratos-transport, such as a fake in a test;
// another broker does not support options such as QoS and retain, and uses its own
// behaviour. Safe for concurrent use. Errors are those of the broker.
func NewClientConn(b broker.Broker, opts ...ClientOption) event.ClientConn {
	c := &clientConn{broker: b}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	return c
}

type clientConn struct {
	broker broker.Broker
	prefix string
}

// Publish implements event.ClientConn.
func (c *clientConn) Publish(ctx context.Context, m *event.MethodDesc, topic string, in proto.Message, opts ...event.CallOption) error {
	call, how := c.call(m, topic, in, opts)
	msg, publish := newCallMessage(&call, in, []broker.PublishOption{broker.WithPublishBodyCodec(m.Codec), how})
	return c.broker.Publish(ctx, call.Topic, msg, publish...)
}

// Request implements event.ClientConn.
func (c *clientConn) Request(ctx context.Context, m *event.MethodDesc, topic string, in, out proto.Message, opts ...event.CallOption) error {
	call, how := c.call(m, topic, in, opts)
	if call.Retain && !m.Retain {
		return &event.Error{
			Op: opRequest, Topic: call.Topic, Reason: event.ReasonBadRequest,
			Cause: errors.New("a request is not retained: a later subscriber would answer it, and nobody would wait for that"),
		}
	}
	if ctx == nil {
		return client.BadRequest(opRequest, call.Topic, "context is nil")
	}
	if _, ok := ctx.Deadline(); !ok && m.Reply != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, m.Reply.Timeout)
		defer cancel()
	}
	msg, publish := newCallMessage(&call, in, []broker.PublishOption{how, WithPublishRetained(false)})
	reply, err := c.broker.Request(ctx, call.Topic, msg,
		broker.WithRequestBodyCodec(m.Codec), WithRequestBinder(func() any { return out }), sentWith(publish))
	if err != nil {
		return err
	}
	return take(reply, m.Codec, out)
}

// call returns a call, and the same as a publish option.
func (c *clientConn) call(m *event.MethodDesc, topic string, in proto.Message, opts []event.CallOption) (option.Call, broker.PublishOption) {
	call := option.NewCall(m, c.prefix, topic, in, opts)
	return call, publishing(func(r *publishCall) {
		r.SetQoS(call.QoS)
		call.Fill(&r.msg)
		r.named = c.prefix + topic
	})
}

// newCallMessage makes the broker's message. Its headers are single-valued, so repeated
// keys are passed as options.
func newCallMessage(call *option.Call, in proto.Message, opts []broker.PublishOption) (*broker.Message, []broker.PublishOption) {
	msg := broker.NewMessage(in)
	msg.ID = call.ID
	for _, h := range call.Headers {
		if _, again := msg.Headers[h.Key]; again {
			opts = append(opts, WithCallOptions(event.Header(h.Key, h.Value)))
			continue
		}
		if msg.Headers == nil {
			msg.Headers = make(broker.Headers, len(call.Headers))
		}
		msg.Headers[h.Key] = h.Value
	}
	return msg, opts
}

// take copies a reply into out, whatever type the broker returned it as.
func take(reply *broker.Message, codec string, out proto.Message) error {
	switch body := reply.Body.(type) {
	case proto.Message:
		if body == out {
			return nil
		}
		if a, b := body.ProtoReflect().Descriptor(), out.ProtoReflect().Descriptor(); a.FullName() != b.FullName() {
			return replyError(fmt.Errorf("reply is a %s, want a %s", a.FullName(), b.FullName()))
		}
		proto.Reset(out)
		proto.Merge(out, body)
		return nil
	case []byte:
		c := encoding.GetCodec(codec)
		if c == nil {
			return replyError(fmt.Errorf("codec %q is not registered", codec))
		}
		if err := c.Unmarshal(body, out); err != nil {
			return replyError(err)
		}
		return nil
	}
	return replyError(fmt.Errorf("reply is a %T", reply.Body))
}

func replyError(err error) error {
	return &event.Error{Op: "request", Reason: event.ReasonCodec, Cause: err}
}
