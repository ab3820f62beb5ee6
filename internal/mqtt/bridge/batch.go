package bridge

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Batch has decoded messages handled many at a time. The middleware of
// kratos-transport, which is for one message, is left out.
type Batch struct {
	MaxSize int
	MaxWait time.Duration
	// Handle is called with one message at least. An [event.ItemErrors] decides
	// about each.
	Handle func(ctx context.Context, events []*Event) error
}

// typed returns the client's form.
func (b *Batch) typed() *client.TypedBatch {
	return &client.TypedBatch{MaxSize: b.MaxSize, MaxWait: b.MaxWait, Handle: func(ctx context.Context, ds []*client.Delivery) error {
		events := make([]*Event, len(ds))
		for i, d := range ds {
			events[i] = newEvent(d)
		}
		return b.Handle(ctx, events)
	}}
}

// Single handles one message as a batch.
func (b *Batch) Single(ctx context.Context, e *Event) error {
	return b.typed().Single(ctx, e.Delivery)
}
