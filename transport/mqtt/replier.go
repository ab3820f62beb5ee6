package mqtt

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// RegisterReplier registers a typed handler whose result is published to the
// response topic of the request, at QoS 1 and before the request is
// acknowledged: a request may be handled again, but none is lost. The reply is
// encoded as the request was when its content type names a codec, else with the
// subscription's, carries its correlation data, and the Transport's
// ReplyHeader.
//
// An error is the reply, too, with the code, reason and message of its Kratos
// error, and is not retried; so is a request that cannot be decoded. A panic is
// retried and dead-lettered like that of a subscriber: use Kratos' recovery
// middleware to reply it. A message without a response topic is handled as by a
// subscriber. A response topic that is no topic name or is not allowed, see
// [WithReplyTopics], is dead-lettered without a call of the handler.
//
// MQTT 5 has response topic and correlation data; MQTT 3.1.1 takes the
// CloudEvents carrier on both sides.
func RegisterReplier[Req, Resp any](
	srv *Server, ctx context.Context, topic string, //nolint:revive // the order is RegisterSubscriber's
	handler func(ctx context.Context, req *Req) (*Resp, error),
	opts ...broker.SubscribeOption,
) error {
	if ctx == nil {
		return &event.Error{Op: "subscribe", Topic: topic, Reason: event.ReasonBadRequest, Cause: errNilContext}
	}
	if handler == nil {
		return &event.Error{Op: "subscribe", Topic: topic, Reason: event.ReasonBadRequest, Cause: errNilHandler}
	}
	c := &chained{server: srv, operation: topic, replyQoS: defaultQoS, reply: func(ctx context.Context, req any) (any, error) {
		r, ok := req.(*Req)
		if !ok {
			return nil, fmt.Errorf("request is a %T, want a %T", req, new(Req))
		}
		return handler(ctx, r)
	}}
	opts = append([]broker.SubscribeOption{broker.WithSubscribeContext(ctx)}, opts...)
	opts = append(opts, bridge.SubscribeOption(func(s *bridge.SubscribeSettings) { s.OnUndecodable(c.refuse) }))
	_, err := c.subscribe(topic, c.handle, func() any { return new(Req) }, opts...)
	return err
}

// serve handles a request and replies.
func (c *chained) serve(ctx context.Context, tr *Transport, call middleware.Handler) error {
	wanted, err := c.server.broker.ReplyWanted(tr.own)
	if err != nil {
		return err
	}
	reply, err := call(ctx, tr.event.Message().Body)
	switch {
	case !wanted:
		return err
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return err // we stop: whoever gets the request next may answer it
	}
	return c.server.broker.Reply(ctx, tr.own, c.replyQoS, reply, tr.reply.list(), err)
}

// refuse replies to a request that cannot be decoded.
func (c *chained) refuse(ctx context.Context, e *bridge.Event, err error) error {
	if wanted, bad := c.server.broker.ReplyWanted(e); bad != nil || !wanted {
		return errors.Join(err, bad)
	}
	return c.server.broker.Reply(ctx, e, c.replyQoS, nil, nil, err)
}

// list returns all values, keys in no order.
func (h *headerCarrier) list() (list []engine.UserProperty) {
	for key, values := range h.values {
		for _, v := range values {
			list = append(list, engine.UserProperty{Key: key, Value: v})
		}
	}
	return list
}

// defaultQoS of replies is at least once.
const defaultQoS = 1

var errNilHandler = errors.New("handler is nil")

// Request is [Server.Request] with a typed reply, decoded with the codec that
// its content type names, else the request's.
func Request[Resp any](ctx context.Context, srv *Server, topic string, req any, opts ...broker.RequestOption) (*Resp, error) {
	return bridge.Request[Resp](ctx, srv, topic, req, opts...)
}
