package client

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
)

// handleEach runs the handler of batches for those messages that are no
// duplicates, and returns an error for each, or one of all of them.
func (c *consumer) handleEach(ctx context.Context, messages []*Delivery) (items []error, rest error) {
	if c.dedup == nil {
		return itemErrors(c.handleBatch(ctx, messages), len(messages))
	}
	b := c.byID(messages)
	if len(b.keys) == 0 {
		return itemErrors(c.handleBatch(ctx, messages), len(messages))
	}
	b.handle, b.ran = c.handleBatch, make([]bool, len(b.keys))
	outcomes, err := c.dedup.batches.OnceEach(ctx, b.keys, b.effect)
	if err != nil && !b.handled && errors.Is(err, dedup.ErrRunning) {
		return b.allWaiting(err), nil
	}
	if err != nil {
		return nil, err
	}
	if !b.handled { // those without an id still are to be
		if _, err := b.effect(ctx, nil); err != nil {
			return nil, err
		}
	}
	for i, k := range b.key {
		if k < 0 {
			continue
		}
		switch o := outcomes[k]; {
		case o.Duplicate, o.Err == nil && b.first[k] != i:
			c.duplicate(messages[i], b.ids[k])
		case o.Err != nil && !b.ran[k]:
			b.items[i] = whileRunning(messages[i], o.Err)
		default:
			b.items[i] = o.Err
		}
	}
	return b.items, nil
}

func (c *consumer) handleBatch(ctx context.Context, messages []*Delivery) error {
	for _, d := range messages {
		d.begun = true
	}
	return c.typed.Batch.Handle(ctx, messages)
}

// identified are the messages of a batch by their ids.
type identified struct {
	messages []*Delivery
	key      []int    // of each message, its place in keys; -1 for one without an id
	keys     []string // what the window remembers, each once
	ids      []string // of each key
	first    []int    // of each key, the first message with it

	handle  func(context.Context, []*Delivery) error
	ran     []bool  // of each key, its effect
	handled bool    // the handler was called, or had nothing to handle
	items   []error // of messages
}

func (c *consumer) byID(messages []*Delivery) *identified {
	b := &identified{messages: messages, key: make([]int, len(messages)), items: make([]error, len(messages))}
	places := make(map[string]int, len(messages))
	for i, e := range messages {
		id := e.ID()
		if id == "" {
			c.withoutID(e)
			b.key[i] = -1
			continue
		}
		key := c.dedup.key(&e.Event, id)
		place, ok := places[key]
		if !ok {
			place = len(b.keys)
			places[key] = place
			b.keys, b.ids, b.first = append(b.keys, key), append(b.ids, id), append(b.first, i)
		}
		b.key[i] = place
	}
	return b
}

// allWaiting is for a window that does not say which of the ids is being handled.
func (b *identified) allWaiting(err error) []error {
	for i, e := range b.messages {
		b.items[i] = whileRunning(e, err)
	}
	return b.items
}

var _ dedup.EachEffect = (*identified)(nil).effect

// effect handles the first message of each fresh key, and those without an id, in
// their order.
func (b *identified) effect(ctx context.Context, fresh []int) (failed []error, err error) {
	b.handled = true
	wanted := make(map[int]int, len(fresh)) // key to its place in fresh
	for n, k := range fresh {
		wanted[k] = n
		b.ran[k] = true
	}
	var some []*Delivery
	var at []int
	for i, k := range b.key {
		if _, ok := wanted[k]; k < 0 || ok && b.first[k] == i {
			some, at = append(some, b.messages[i]), append(at, i)
		}
	}
	if len(some) == 0 {
		return nil, nil
	}
	items, err := itemErrors(b.handle(ctx, some), len(some))
	if err != nil || items == nil {
		return nil, err
	}
	failed = make([]error, len(fresh))
	for n, i := range at {
		if k := b.key[i]; k < 0 {
			b.items[i] = items[n]
		} else {
			failed[wanted[k]] = items[n]
		}
	}
	return failed, nil
}
