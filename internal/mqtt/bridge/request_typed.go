package bridge

import (
	"context"
	"fmt"
	"slices"

	"github.com/tx7do/kratos-transport/broker"
)

// Requester is what can send requests.
type Requester interface {
	Request(ctx context.Context, topic string, msg *broker.Message, opts ...broker.RequestOption) (*broker.Message, error)
}

// Request sends a request and returns the reply as a Resp.
func Request[Resp any](ctx context.Context, r Requester, topic string, req any, opts ...broker.RequestOption) (*Resp, error) {
	bind := RequestOption(func(s *RequestSettings) { s.Binder = func() any { return new(Resp) } })
	msg, err := r.Request(ctx, topic, &broker.Message{Body: req, Partition: -1, Offset: -1}, append(slices.Clip(opts), bind)...)
	if err != nil {
		return nil, err
	}
	resp, ok := msg.Body.(*Resp)
	if !ok {
		return nil, codecError(opRequest, topic, fmt.Errorf("the reply is a %T, want a %T", msg.Body, resp))
	}
	return resp, nil
}
