package data

import (
	"context"
	"time"
)

// Waiting is how many messages the outbox holds; 0 when it cannot tell.
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

// waitingTimeout bounds the question how much waits.
const waitingTimeout = time.Second

// flushPoll is how often a flush looks, and flushStuck how long nothing may leave,
// while keys are closed, until all that is left is taken to wait behind those.
const (
	flushPoll  = 10 * time.Millisecond
	flushStuck = time.Second
)

// Flush waits, within ctx, until the outbox is empty, as long as the broker is
// there: what is accepted before a stop is then handled before it, too. What is
// left stays for the next start, and so does what waits behind messages that the
// broker refuses, or has no subscriber for.
func (b *Broker) Flush(ctx context.Context) {
	if b.store == nil {
		return
	}
	tick := time.NewTicker(flushPoll)
	defer tick.Stop()
	depth, since := -1, time.Now()
	for h := b.health(); h.Connected; h = b.health() {
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
