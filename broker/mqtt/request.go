package mqtt

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// requestTimeout bounds a request whose context has no deadline, as in
// kratos-transport.
const requestTimeout = 10 * time.Second

// Requester sends requests: a [Broker], and the server of package transport/mqtt.
type Requester interface {
	// Request sends a request and returns the reply.
	Request(ctx context.Context, topic string, msg *broker.Message, opts ...broker.RequestOption) (*broker.Message, error)
}

// Request sends a request and decodes the reply with the codec that its content type
// names, else with the request's codec. Otherwise it behaves as [Broker.Request].
func Request[Resp any](ctx context.Context, r Requester, topic string, req any, opts ...broker.RequestOption) (*Resp, error) {
	bind := WithRequestBinder(func() any { return new(Resp) })
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

const opRequest = "request"

// requestCall are the settings of one Request.
type requestCall struct {
	generic broker.RequestOptions
	binder  broker.Binder // makes the value to decode the reply into; nil leaves its bytes
}

// requesting makes a kratos-transport option of a change to one request.
func requesting(set func(*requestCall)) broker.RequestOption {
	return func(o *broker.RequestOptions) {
		if o != nil {
			o.Context = change(o.Context, set)
		}
	}
}

func newRequestCall(opts []broker.RequestOption) *requestCall {
	r := new(requestCall)
	read(&carrier[requestCall]{settings: r}, &r.generic, &r.generic.Context, opts)
	return r
}

// codecError returns the error of a message that cannot be encoded or decoded. Retrying
// does not help.
func codecError(op, topic string, cause error) error {
	return &event.Error{Op: op, Topic: logsafe.Clip(topic), Reason: event.ReasonCodec, Cause: cause}
}
