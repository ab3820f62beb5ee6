package mqtt

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// RegisterReplier registers a typed handler whose result is published to the
// response topic of the request, at QoS 1 and before the request is
// acknowledged: a request may be handled again, but none is lost. The reply is
// encoded as the request was when its content type names a codec, else with the
// subscription's, carries its correlation data, and the Transport's
// ReplyHeader.
//
// An error is the reply, too, with the code, reason and message of its Kratos
// error, and is not retried; so is a request that cannot be decoded. The code is 400
// to 599, any other one goes out as 500. An error that is no Kratos error, no
// *event.Error, no end of a deadline and no gRPC status goes out as "internal error",
// and in full to the log; so does a gRPC status of 500 or more without a reason, which
// keeps its code. A panic is retried and dead-lettered like that of a subscriber: use Kratos'
// recovery middleware to reply it. A message without a response topic is handled as
// by a subscriber.
//
// A reply that cannot be delivered is dropped, counted as RepliesDropped of the
// health, told to hooks and, once a minute, to the log, and its request is
// acknowledged: one whose response topic is not allowed, see [ReplyTopics],
// whose requester had its share, or that the broker does not take. It is tried once,
// for the time of a publish, or as long as the request's expiry says.
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
	replier, err := srv.newReplier(client.ReplierSettings{Operation: topic, Filter: topic, QoS: defaultQoS})
	if err != nil {
		return err
	}
	c := &chained{server: srv, operation: topic, replier: replier, reply: func(ctx context.Context, req any) (any, error) {
		r, ok := req.(*Req)
		if !ok {
			return nil, fmt.Errorf("request is a %T, want a %T", req, new(Req))
		}
		return handler(ctx, r)
	}}
	opts = append([]broker.SubscribeOption{broker.WithSubscribeContext(ctx)}, opts...)
	opts = append(opts, mqttbroker.WithSubscription(func(_ *client.Subscription, t *client.Typed) { t.Undecodable = c.refuse }))
	_, err = c.subscribe(topic, c.handle, func() any { return new(Req) }, opts...)
	return err
}

// serve handles a request and replies.
func (c *chained) serve(ctx context.Context, tr *Transport, call middleware.Handler) error {
	answer := c.replier.Answer(tr.delivery, tr.event.Message().Body)
	reply, err := call(ctx, tr.event.Message().Body)
	switch {
	case answer == nil:
		return err
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return err // we stop: whoever gets the request next may answer it
	}
	return answer.Send(ctx, reply, tr.reply.list(), err)
}

// refuse replies to a request that cannot be decoded.
func (c *chained) refuse(ctx context.Context, d *client.Delivery, err error) error {
	answer := c.replier.Answer(d, nil)
	if answer == nil {
		return err
	}
	return answer.Send(ctx, nil, nil, err)
}

// list returns all values, keys in no order.
func (h *headerCarrier) list() (list []client.UserProperty) {
	for key, values := range h.values {
		for _, v := range values {
			list = append(list, client.UserProperty{Key: key, Value: v})
		}
	}
	return list
}

// defaultQoS of replies is at least once.
const defaultQoS = 1

var errNilHandler = errors.New("handler is nil")
