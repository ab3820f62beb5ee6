package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Run implements [delivery.Task]: one batch. After a handler or hook that ends its goroutine
// the next call continues.
func (b *batcher) Run(ctx context.Context) (again time.Duration, done bool) {
	if b.current == nil {
		b.current = b.take()
	}
	if len(b.current) > 0 && b.errs == nil {
		b.run.arrivedAll(b.current)
		b.attempt(ctx)
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
	if !d.alone {
		return
	}
	key := b.at.keyOf(d)
	if key == 0 {
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
	b.since = b.sub.breaker.Epoch()
	deadline := cmp.Or(b.sub.Timeout, b.run.client.cfg.HandlerTimeout)
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	late := &b.run.client.counts.late
	overrun := time.AfterFunc(deadline+delivery.OverrunGrace, func() {
		late.Add(1)
		b.sub.breaker.Overdue(b.since)
		log := b.run.client.log
		log.Few("handler late", "", func(more []any) {
			log.Warn("mqtt: handler of batches passed its deadline and still runs", append(more, logsafe.KeyFilter, b.sub.Filter)...)
		})
	})
	defer func() {
		if !overrun.Stop() {
			late.Add(-1)
			b.sub.breaker.Returned(b.since)
		}
	}()
	b.current[0].tells().batch = len(b.current)
	b.fault = delivery.Guard(func() error { return b.sub.Batch.Handler(ctx, b.current, b.errs) })
	if p, ok := errors.AsType[*delivery.PanicError](b.fault); ok { // which each message would log
		b.run.client.calls.handlerFailed(p)
		b.fault = fmt.Errorf("%w: %v", delivery.ErrBatchPanicked, p.Value)
	}
}

// putBack has messages wait for another batch, before those that came after them.
func (b *batcher) putBack(back []batched) {
	if len(back) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(back, b.waiting...)
}

// settle finishes what was handled, and sends on singly what was not. The error of
// a whole batch may be the fault of one message, so that it decides about none; while the
// breaker is not closed, its messages wait for another batch. If a hook ends the goroutine,
// the next call continues behind it.
func (b *batcher) settle(ctx context.Context) {
	if b.noted == 0 && b.settled == 0 {
		b.gone = b.gone[:0]
		b.wait = b.fault != nil && ctx.Err() == nil && len(b.current) > 1 && b.sub.flow.Load().TogetherFailed(b.since, b.fault)
	}
	for ; b.settled < len(b.current); b.settled++ {
		d := b.current[b.settled]
		err, together := b.errs[b.settled], false
		if err == nil {
			err, together = b.fault, len(b.current) > 1
		}
		if together && b.wait {
			b.back = append(b.back, batched{d, b.at.keyOf(d), b.started})
			continue
		}
		if err == nil || ctx.Err() == nil { // else we cut it off: not the handler's failure
			b.outcome(ctx, d, err, together)
		}
		b.gone = append(b.gone, b.held(d))
	}
	back := b.back
	b.current, b.errs, b.back, b.settled, b.noted = nil, nil, nil, 0, 0
	b.release(b.gone)
	b.putBack(back)
}

// outcome finishes one message of the batch, or sends it on singly.
func (b *batcher) outcome(ctx context.Context, d *Delivery, err error, together bool) {
	if b.noted <= b.settled { // else a hook has received the attempt
		b.noted = b.settled + 1
		switch {
		case delivery.IsLater(err): // nothing was tried
		case err != nil && together:
			d.task.TriedTogether(b.started, err)
		default:
			d.task.Tried(b.started, b.since, err)
		}
	}
	if err == nil {
		d.task.Run(ctx)
		return
	}
	b.mu.Lock()
	b.single(d, b.at.keyOf(d))
	b.mu.Unlock()
}
