package mqtt

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
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
		return nil, client.CodecError(opRequest, topic, fmt.Errorf("the reply is a %T, want a %T", msg.Body, resp))
	}
	return resp, nil
}

const opRequest = "request"

// requestCall are the settings of one Request.
type requestCall struct {
	generic broker.RequestOptions
	binder  broker.Binder          // makes the value to decode the reply into; nil leaves its bytes
	publish []broker.PublishOption // how the request itself is sent
}

// sentWith makes a request be published with these options.
func sentWith(opts []broker.PublishOption) broker.RequestOption {
	return requesting(func(r *requestCall) { r.publish = append(r.publish, opts...) })
}

// requesting makes a kratos-transport option of a change to one request.
func requesting(set func(*requestCall)) broker.RequestOption {
	return func(o *broker.RequestOptions) {
		if o != nil {
			o.Context = option.Change(o.Context, set)
		}
	}
}

func newRequestCall(opts []broker.RequestOption) *requestCall {
	r := new(requestCall)
	option.Apply(&option.Context[requestCall]{Settings: r}, &r.generic, &r.generic.Context, opts)
	return r
}
