package data

import (
	"context"
	"time"
)

// Waiting returns how many messages the outbox holds, or 0 if that is not known.
func (b *Broker) Waiting() int {
	if b.store == nil {
		return 0
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitingTimeout)
	defer cancel()
	s, err := b.store.Stats(ctx)
	if err != nil {
		return 0
	}
	return s.Depth
}

// waitingTimeout bounds the query of Waiting.
const waitingTimeout = time.Second

// flushPoll is how often Flush checks the outbox. If the outbox does not shrink for
// flushStuck while keys are closed, Flush assumes that all remaining messages wait
// behind those keys.
const (
	flushPoll  = 10 * time.Millisecond
	flushStuck = time.Second
)

// Flush waits until the outbox is empty, ctx ends or the broker is disconnected, so
// that messages accepted before a stop are also handled before it. Messages that
// remain are sent after the next start, and so are those that wait behind messages
// that the broker refuses or that have no subscriber.
func (b *Broker) Flush(ctx context.Context) {
	if b.store == nil {
		return
	}
	tick := time.NewTicker(flushPoll)
	defer tick.Stop()
	depth, since := -1, time.Now()
	for h := b.Health(); h.Connected; h = b.Health() {
		s, err := b.store.Stats(ctx)
		if err != nil || s.Depth == 0 {
			return
		}
		if s.Depth != depth {
			depth, since = s.Depth, time.Now()
		} else if time.Since(since) >= flushStuck && h.Outbox.ClosedKeys > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
