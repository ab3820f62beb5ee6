package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
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

// collect sets the batches of the subscription.
func (c *consumer) collect(sub *client.Subscription) {
	if c.batch != nil {
		sub.Batch = &client.Batch{MaxSize: c.batch.MaxSize, MaxWait: c.batch.MaxWait, Handler: c.handleMany}
	}
}

// handleMany keeps what cannot be decoded from the handler.
func (c *consumer) handleMany(ctx context.Context, ds []*client.Delivery, errs []error) error {
	s := c.broker.state()
	events, at := make([]*Event, 0, len(ds)), make([]int, 0, len(ds))
	for i, d := range ds {
		e, err := c.receive(s, d)
		if errors.Is(err, errDeletion) {
			_ = c.skip(s)
			continue
		}
		if err != nil {
			errs[i] = envelope.FormError("decode", d.Topic, err)
			continue
		}
		events, at = append(events, e), append(at, i)
	}
	if len(events) == 0 {
		return nil
	}
	ctx, end := s.tracer.processBatch(withValues(ctx, c.values), events)
	items, err := c.handleEach(ctx, events)
	end(errors.Join(append(slices.DeleteFunc(slices.Clone(items), isWaiting), err)...))
	for i, item := range items {
		errs[at[i]] = item
	}
	return err
}

// isWaiting reports whether an error is of no attempt.
func isWaiting(err error) bool { return errors.Is(err, dedup.ErrRunning) }

// itemErrors takes the decisions about each of n messages out of an error; what
// is left is about all of them.
func itemErrors(err error, n int) (items []error, rest error) {
	list, ok := errors.AsType[event.ItemErrors](err)
	switch {
	case !ok:
		return nil, err
	case len(list) != n:
		return nil, fmt.Errorf("handler of a batch decided about %d of %d messages: %w", len(list), n, err)
	}
	return list, nil
}

// Single handles one message as a batch.
func (b *Batch) Single(ctx context.Context, e *Event) error {
	items, err := itemErrors(b.Handle(ctx, []*Event{e}), 1)
	if items != nil {
		return items[0]
	}
	return err
}
