package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// Run implements [delivery.Task]: one batch. A handler that ends its goroutine
// is found again by the next call.
func (b *batcher) Run(ctx context.Context) (again time.Duration, done bool) {
	if b.current == nil {
		if b.current = b.take(); len(b.current) > 0 {
			b.attempt(ctx)
		}
	}
	b.settle(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) > 0 && (ctx.Err() != nil || b.due() <= 0) {
		return 0, false
	}
	b.queued = false
	b.schedule()
	return 0, true
}

// take returns the next batch. Messages behind one of their key that is handled
// singly, or parked, follow it there.
func (b *batcher) take() (batch []*Delivery) {
	b.mu.Lock()
	gone := b.gone[:0]
	defer func() {
		b.hurried = false
		b.mu.Unlock()
		b.release(gone)
	}()
	n := 0
	for ; n < len(b.waiting) && len(batch) < b.sub.Batch.MaxSize; n++ {
		a := &b.waiting[n]
		if b.follows(a) {
			b.single(a.Delivery, a.key)
			gone = append(gone, b.held(a.Delivery))
			continue
		}
		batch = append(batch, a.Delivery)
	}
	clear(b.waiting[:n])
	if b.waiting = b.waiting[n:]; len(b.waiting) == 0 {
		b.waiting = nil
	}
	return batch
}

// release takes messages off the bounds of the queue.
func (b *batcher) release(gone []delivery.Held) {
	if len(gone) > 0 {
		b.at.sched.Release(gone...)
	}
	if b.gone = gone; cap(gone) > maxBatch {
		b.gone = nil
	}
}

func (b *batcher) held(d *Delivery) delivery.Held {
	return delivery.Held{Origin: b.at.origin(b.sub, d.Inbound), Size: d.Size}
}

func (b *batcher) follows(a *batched) bool {
	if a.key != 0 && b.alone[a.key] > 0 {
		return true
	}
	return b.sub.backlog.Hold(a.Delivery) != delivery.Free
}

// single has a message handled by itself. The mutex is held.
func (b *batcher) single(d *Delivery, key uint64) {
	if d.alone = true; key != 0 {
		b.alone[key]++
	}
	b.at.sched.Continue(delivery.Item{
		Task: &d.task, Lane: b.sub.lane, Key: key, Origin: b.at.origin(b.sub, d.Inbound),
		Shares: b.sub.levels > 0, Size: d.Size, Must: true,
	})
}

// finished lets the messages of a key into batches again.
func (b *batcher) finished(d *Delivery) {
	key := b.at.keyOf(d)
	if !d.alone || key == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.alone[key]--; b.alone[key] <= 0 {
		delete(b.alone, key)
	}
}

// attempt is the first one of all messages of the batch.
func (b *batcher) attempt(ctx context.Context) {
	b.started, b.errs, b.fault = time.Now(), make([]error, len(b.current)), delivery.ErrGoexit
	deadline := cmp.Or(b.sub.Timeout, b.run.client.cfg.HandlerTimeout)
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	overrun := time.AfterFunc(deadline, func() {
		b.run.client.overruns.Say("", func(others string) {
			b.run.client.log.Warnf("mqtt: handler of batches of %q passed its deadline and goes on%s", b.sub.Filter, others)
		})
	})
	defer overrun.Stop()
	for _, d := range b.current {
		d.Attempt = 1
	}
	b.fault = delivery.Guard(func() error { return b.sub.Batch.Handler(ctx, b.current, b.errs) })
	if p, ok := errors.AsType[*delivery.PanicError](b.fault); ok { // which each message would log
		b.run.client.calls.handlerFailed(p)
		b.fault = fmt.Errorf("handler of a batch panicked: %v", p.Value)
	}
}

// settle finishes what was handled, and sends on singly what was not. The error of
// a whole batch may be the fault of one message, so that it decides about none.
func (b *batcher) settle(ctx context.Context) {
	gone := b.gone[:0]
	for i, d := range b.current {
		gone = append(gone, b.held(d))
		err, together := b.errs[i], false
		if err == nil {
			err, together = b.fault, len(b.current) > 1
		}
		switch {
		case err != nil && ctx.Err() != nil:
			continue // we cut it off: not the handler's failure
		case delivery.IsLater(err): // nothing was tried
		case err != nil && together:
			d.task.TriedTogether(b.started, err)
		default:
			d.task.Tried(b.started, err)
		}
		if err == nil {
			d.task.Run(ctx)
			continue
		}
		b.mu.Lock()
		b.single(d, b.at.keyOf(d))
		b.mu.Unlock()
	}
	b.current, b.errs = nil, nil
	b.release(gone)
}
