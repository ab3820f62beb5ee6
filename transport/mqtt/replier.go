package mqtt

import (
	"context"
	"errors"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// RegisterReplier registers a typed handler for requests. Its result is published to the
// response topic of the request at QoS 1, and the request is acknowledged afterwards, so
// that no request is lost, but one may be handled twice. The reply is encoded with the codec
// that the content type of the request names, else with that of the subscription. It has the
// correlation data of the request, and the headers of the Transport's ReplyHeader.
//
// An error of the handler is sent as a reply, without a retry, with the code, reason and
// message of its Kratos error; so is a request that cannot be decoded. Codes other than 400
// to 599 are sent as 500. The text of an error that is not a Kratos error, an *event.Error,
// the end of a deadline or a gRPC status is logged, and "internal error" is sent; the same
// applies to a gRPC status of 500 or more without a reason, which keeps its code. A panic is
// retried, then dead-lettered, as for a subscriber; Kratos' recovery middleware makes it a
// reply. A message without a response topic is handled as by a subscriber.
//
// A reply is sent once, within the time of a publish and before the request expires. It is
// dropped, and the request acknowledged, if the response topic is not allowed, see
// [ReplyTopics], if the requester has used up its share, or if the broker does not accept
// it. Health counts that as RepliesDropped, hooks receive it, and the log has it once a
// minute.
//
// MQTT 5 has response topic and correlation data; on MQTT 3.1.1 both sides need
// CloudEvents.
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
	h, err := srv.operations.NewReplier(topic, func(ctx context.Context, req any) (any, error) {
		r, err := operation.As[Req]("request", req)
		if err != nil {
			return nil, err
		}
		return handler(ctx, r)
	})
	if err != nil {
		return err
	}
	opts = append([]broker.SubscribeOption{broker.WithSubscribeContext(ctx)}, opts...)
	opts = append(opts, subscribing(func(s *option.Subscription) { s.Message.Undecodable = h.Refuse }))
	_, err = srv.subscribe(topic, h, func() any { return new(Req) }, opts)
	return err
}

var errNilHandler = errors.New("handler is nil")
