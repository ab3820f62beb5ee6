package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// held is the task that handles the oldest parked message of its key.
var _ delivery.Task = (*held)(nil)

// Run implements [delivery.Task]. It is always done: pauses are the lot's, so
// that a drain does not wait for them.
func (h *held) Run(ctx context.Context) (again time.Duration, done bool) {
	after, more := h.step(ctx)
	if more {
		h.lot.scheduleAgain(h, after)
	}
	// Not deferred: a handler that ends its goroutine is run again by the
	// scheduler, and still has its turn.
	h.lot.at.lots.give(h)
	return 0, true
}

// step does what is due, and says when something is due again.
func (h *held) step(ctx context.Context) (after time.Duration, more bool) {
	id := h.lot.oldest(h)
	if id == "" || ctx.Err() != nil {
		return 0, false
	}
	if h.current == nil && !h.over {
		if err := h.load(ctx, id); errors.Is(err, deadletter.ErrNotFound) {
			return 0, h.next() // dropped by an operator
		} else if err != nil {
			return h.trouble(ctx, id, err)
		}
	}
	if !h.over {
		d := h.current
		again, done := d.task.Run(ctx)
		if !done {
			return again, ctx.Err() == nil
		}
		h.current = nil
		switch d.letter.result {
		case delivery.Parked:
			h.tries++
			return h.retryLater(d)
		case delivery.Exhausted, delivery.Permanent:
			return 0, h.next()
		}
		h.over = true
	}
	ctx, cancel := context.WithTimeout(ctx, h.lot.run.client.cfg.StoreTimeout)
	defer cancel()
	if err := h.lot.run.client.store.Delete(ctx, id); err != nil {
		return h.trouble(ctx, id, err)
	}
	c := h.lot.run.client
	c.parkedLog.say(func(others string) { c.log.Infof("mqtt: parked message %s handled%s", id, others) })
	return 0, h.next()
}

// shares reports whether others may send to the same handler.
func (h *held) shares() bool { return h.lot.sub.levels > 0 }

// load gets the message from the store. It is kept for one attempt only.
func (h *held) load(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, h.lot.run.client.cfg.StoreTimeout)
	defer cancel()
	kept, err := h.lot.run.client.store.Get(ctx, id)
	if err != nil {
		return err
	}
	if kept.State != deadletter.Parked {
		return deadletter.ErrNotFound // no longer ours to handle
	}
	d := h.lot.deliver(kept, h.tries)
	if kept.Omitted != (deadletter.Omitted{}) { // as an earlier version parked some, or the store could not read all
		if err := h.lot.run.bury(ctx, d, fmt.Errorf("the parked message is not whole: %v: %s", kept.Omitted, kept.Reason), 0); err != nil {
			return err
		}
		return deadletter.ErrNotFound
	}
	h.current = d
	return nil
}

// next goes on to the message behind.
func (h *held) next() (more bool) {
	h.current, h.tries, h.over = nil, 0, false
	h.pauses.Reset()
	h.lot.run.troubles.clear(h)
	return h.lot.done(h)
}

func (h *held) trouble(ctx context.Context, id string, err error) (after time.Duration, more bool) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return 0, false
	}
	after = h.pause()
	h.failed(err.Error())
	h.lot.run.troubles.set(h, err)
	c := h.lot.run.client
	c.blockedLog.say(func(others string) {
		c.log.Errorf("mqtt: dead-letter store fails for parked message %s, retry in %v%s: %v", id, after, others, err)
	})
	return after, true
}

func (h *held) retryLater(d *Delivery) (after time.Duration, more bool) {
	r := h.lot.run
	r.troubles.clear(h)
	h.failed(d.letter.Reason)
	after = h.pause()
	r.client.parkedLog.sayOf(d, func(others string) {
		r.client.log.Warnf("mqtt: parked message %s failed again, retry in %v: topic %q, attempt %d%s: %s",
			d.letter.ID, after, d.Topic, d.Attempt, others, d.letter.Reason)
	})
	if f := r.client.cfg.Hooks.Retrying; f != nil {
		r.client.hook(func() { f(d, d.Attempt, after, errors.New(d.letter.Reason)) })
	}
	return after, true
}

// parkAgain leaves a message parked that failed once more, or makes it a dead
// letter when that was for too long or too often. What the store has is not written anew: an
// operator may have deleted it meanwhile.
func (l *lot) parkAgain(ctx context.Context, d *Delivery, cause error, attempts int) error {
	kept, bound := d.letter, l.sub.parkBound()
	often := bound > 0 && d.attempts(attempts) >= bound
	if !often && time.Since(kept.Received) < l.run.client.cfg.ParkLimit {
		kept.Reason = reason(cause)
		return nil
	}
	return l.run.bury(ctx, d, cause, attempts)
}
