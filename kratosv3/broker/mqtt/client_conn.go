package mqtt

import (
	"context"
	"strings"

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

// NewClientConn returns the connection that generated clients publish through. Safe for
// concurrent use. Errors are those of the broker.
func NewClientConn(b *Broker, opts ...ClientOption) event.ClientConn {
	c := &clientConn{broker: b}
	for _, o := range opts {
		if o != nil {
			o(c)
		}
	}
	return c
}

type clientConn struct {
	broker *Broker
	prefix string
}

// Publish implements event.ClientConn.
func (c *clientConn) Publish(ctx context.Context, m *event.MethodDesc, topic string, in proto.Message, opts ...event.CallOption) error {
	out, err := c.message(ctx, "publish", m, topic, in, opts)
	if err != nil {
		return err
	}
	return c.broker.send(ctx, out)
}

// Request implements event.ClientConn.
func (c *clientConn) Request(ctx context.Context, m *event.MethodDesc, topic string, in, out proto.Message, opts ...event.CallOption) error {
	req, err := c.message(ctx, opRequest, m, topic, in, opts)
	switch {
	case err != nil:
		return err
	case req.Retain && !m.Retain:
		return client.BadRequest(opRequest, req.Topic, "a request is not retained: a later subscriber would answer it, and nobody would wait for that")
	}
	req.Retain = false
	timeout := requestTimeout
	if m.Reply != nil {
		timeout = m.Reply.Timeout
	}
	return c.broker.request(ctx, req, out, timeout)
}

// message returns the message of a call.
func (c *clientConn) message(ctx context.Context, op string, m *event.MethodDesc, topic string, in proto.Message, opts []event.CallOption) (*client.Outgoing, error) {
	switch {
	case ctx == nil:
		return nil, client.BadRequest(op, topic, "context is nil")
	case in == nil:
		return nil, client.BadRequest(op, topic, "message body is nil")
	case ctx.Err() != nil:
		return nil, client.ErrorOf(op, topic, ctx.Err())
	}
	call := option.NewCall(m, c.prefix, topic, in, opts)
	codec, err := c.broker.codecOf(m.Codec)
	if err != nil {
		return nil, client.CodecError(op, call.Topic, err)
	}
	out := &client.Outgoing{Body: in, Codec: codec}
	call.Fill(out)
	if call.Topic != c.prefix+topic {
		out.Template = "" // an option chose the topic
	}
	return out, address(op, out, &call.Call)
}
