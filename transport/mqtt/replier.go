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

// RegisterReplier registers a typed handler whose result is published to the response
// topic of the request, at QoS 1 and before the request is acknowledged: a request may be
// handled again, but none is lost. The reply is encoded with the codec that the request's
// content type names, or else with the subscription's codec. It carries the correlation
// data of the request, and the ReplyHeader of the Transport.
//
// An error of the handler is a reply, too, with the code, reason and message of its Kratos
// error, and is not retried; neither is a request that cannot be decoded. The code is 400
// to 599; any other code is sent as 500. An error that is not a Kratos error, an
// *event.Error, the end of a deadline or a gRPC status is sent as "internal error", and is
// logged in full; so is a gRPC status of 500 or more without a reason, which keeps its
// code. A panic is retried and dead-lettered like that of a subscriber: use Kratos'
// recovery middleware to send it as a reply. A message without a response topic is handled
// as by a subscriber.
//
// A reply that cannot be delivered is dropped and its request is acknowledged. It is
// counted as RepliesDropped in the health, reported to hooks and logged once a minute.
// This happens if the response topic is not allowed, see [ReplyTopics], if the requester
// has used up its share, or if the broker does not take the reply. A reply is tried once,
// for the time of a publish or until the request expires.
//
// MQTT 5 has response topic and correlation data; MQTT 3.1.1 requires the CloudEvents
// carrier on both sides.
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
		return err // Stop was called: the next receiver of the request may answer it
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
