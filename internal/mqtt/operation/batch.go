package operation

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// handleBatch is one call of a handler of batches. Middleware sees it as one
// request, a []proto.Message, and the attempt of its first message.
func (h *Handler) handleBatch(ctx context.Context, ds []*client.Delivery) error {
	in := make([]proto.Message, len(ds))
	for i, d := range ds {
		var ok bool
		if in[i], ok = d.Body.(proto.Message); !ok {
			return fmt.Errorf("message is a %T, want one of %s", d.Body, h.operation)
		}
	}
	call, err := h.built()
	if err != nil {
		return err
	}
	ctx, _ = h.begin(ctx, h, ds[0])
	_, err = call(ctx, in)
	return err
}

// callBatch is the end of the chain.
func (h *Handler) callBatch(ctx context.Context, req any) error {
	in, ok := req.([]proto.Message)
	if !ok {
		return fmt.Errorf("request is a %T, want the messages of %s", req, h.operation)
	}
	return h.batch(ctx, in)
}

// handleSingle handles a message that failed in a batch, or one after it, as a batch of
// one.
func (h *Handler) handleSingle(ctx context.Context, d *client.Delivery) error {
	return (&client.TypedBatch{Handle: h.handleBatch}).Single(ctx, d)
}
