package operation

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Handler is a handler behind the middleware of its operation. What changes from message to
// message travels in the [Attempt].
type Handler struct {
	of        *Registry
	operation string
	begin     Begin
	end       func(ctx context.Context, a *Attempt, req any) error // or
	reply     Call                                                 // of a replier, or
	batch     func(ctx context.Context, in []proto.Message) error  // of a generated service
	replier   *client.Replier                                      // with reply
	params    *template                                            // of the topic; nil without parameters
	chain     atomic.Pointer[chain]                                // nil until Start, or the registration, builds it
}

// Begin puts the transport of an attempt into its context, where [Front.Attempt] finds it.
type Begin func(ctx context.Context, h *Handler, d *client.Delivery) (context.Context, *Attempt)

// NewHandler returns a handler of an operation; end is behind the middleware. A nil begin
// means that of the front.
func (r *Registry) NewHandler(operation string, begin Begin, end func(ctx context.Context, a *Attempt, req any) error) *Handler {
	if begin == nil {
		begin = r.front.Begin
	}
	return &Handler{of: r, operation: operation, begin: begin, end: end}
}

// NewReplier returns a handler of requests on a filter, which is the name of its operation,
// too. It returns an error for invalid templates of response topics, and for options that
// cannot work.
func (r *Registry) NewReplier(filter string, reply Call) (*Handler, error) {
	c, err := r.front.Client()
	if err != nil {
		return nil, err
	}
	replier, err := c.NewReplier(client.ReplierSettings{Operation: filter, Filter: filter, QoS: replyQoS})
	if err != nil {
		return nil, err
	}
	return &Handler{of: r, operation: filter, begin: r.front.Begin, reply: reply, replier: replier}, nil
}

// replyQoS is at least once.
const replyQoS = 1

// Handle handles a message as the client delivers it.
func (h *Handler) Handle(ctx context.Context, d *client.Delivery) error {
	return h.HandleAs(ctx, h.begin, d, d.Body)
}

// HandleAs handles a message as this request, in a context that begin makes.
func (h *Handler) HandleAs(ctx context.Context, begin Begin, d *client.Delivery, req any) error {
	if h.batch != nil {
		return h.handleSingle(ctx, d)
	}
	call, err := h.built()
	if err != nil {
		return err
	}
	ctx, a := begin(ctx, h, d)
	if h.reply != nil {
		return h.serve(ctx, a, call, req)
	}
	_, err = call(ctx, req)
	return err
}

// call is the end of the chain.
func (h *Handler) call(ctx context.Context, req any) (any, error) {
	a := h.of.front.Attempt(ctx)
	switch {
	case a == nil || a.handler != h:
		return nil, errNoTransport
	case h.batch != nil:
		return nil, h.callBatch(ctx, req)
	case h.reply != nil:
		return h.reply(ctx, req)
	}
	return nil, h.end(ctx, a, req)
}

var errNoTransport = errors.New("a middleware dropped the transport from the context")

// serve handles a request and replies.
func (h *Handler) serve(ctx context.Context, a *Attempt, call Call, req any) error {
	answer := h.replier.Answer(a.Delivery, req)
	reply, err := call(ctx, req)
	switch {
	case answer == nil:
		return err
	case err != nil && errors.Is(ctx.Err(), context.Canceled):
		return err // Stop was called: the next receiver of the request may answer it
	}
	if err != nil {
		a.Unproven()
	}
	return answer.Send(ctx, reply, a.Reply.list(), err)
}

// Refuse replies to a request that cannot be decoded.
func (h *Handler) Refuse(ctx context.Context, d *client.Delivery, err error) error {
	answer := h.replier.Answer(d, nil)
	if answer == nil {
		return err
	}
	return answer.Send(ctx, nil, nil, err)
}

// As returns a request as a *T, or an error that names both types.
func As[T any](what string, req any) (*T, error) {
	if r, ok := req.(*T); ok {
		return r, nil
	}
	return nil, fmt.Errorf("%s is a %T, want a %T", what, req, new(T))
}
