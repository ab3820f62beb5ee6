package mqtt

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// handleBatch is one call of a handler of batches. Middleware sees it as one
// request, a []proto.Message, and the Transport of its first message.
func (c *chained) handleBatch(ctx context.Context, ds []*client.Delivery) error {
	in := make([]proto.Message, len(ds))
	for i, d := range ds {
		var ok bool
		if in[i], ok = d.Body.(proto.Message); !ok {
			return fmt.Errorf("message is a %T, want one of %s", d.Body, c.operation)
		}
	}
	call, err := c.built()
	if err != nil {
		return err
	}
	ctx, _ = c.begin(ctx, nil, ds[0])
	_, err = call(ctx, in)
	return err
}

// callBatch is the end of the chain.
func (c *chained) callBatch(ctx context.Context, req any) error {
	in, ok := req.([]proto.Message)
	if !ok {
		return fmt.Errorf("request is a %T, want the messages of %s", req, c.operation)
	}
	return c.batch(ctx, in)
}

// handleSingle handles a message that failed in a batch, or one after it, as a batch of
// one.
func (c *chained) handleSingle(ctx context.Context, e broker.Event) error {
	own, ok := e.RawMessage().(*client.Delivery)
	if !ok {
		return fmt.Errorf("a subscriber middleware changed the raw message to a %T", e.RawMessage())
	}
	return (&client.TypedBatch{Handle: c.handleBatch}).Single(ctx, own)
}
