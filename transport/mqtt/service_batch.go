package mqtt

import (
	"context"
	"fmt"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
)

// handleBatch is one call of a handler of batches. Middleware sees it as one
// request, a []proto.Message, and the Transport of its first message.
func (c *chained) handleBatch(ctx context.Context, events []*bridge.Event) error {
	in := make([]proto.Message, len(events))
	for i, e := range events {
		var ok bool
		if in[i], ok = e.Message().Body.(proto.Message); !ok {
			return fmt.Errorf("message is a %T, want one of %s", e.Message().Body, c.operation)
		}
	}
	call, err := c.built()
	if err != nil {
		return err
	}
	first := events[0]
	ctx, _ = c.begin(ctx, first, first)
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

// handleSingle handles a message that failed in a batch, or one behind it, as a
// batch of its own.
func (c *chained) handleSingle(ctx context.Context, e broker.Event) error {
	own, ok := e.RawMessage().(*bridge.Event)
	if !ok {
		return fmt.Errorf("a subscriber middleware changed the raw message to a %T", e.RawMessage())
	}
	return (&bridge.Batch{Handle: c.handleBatch}).Single(ctx, own)
}
