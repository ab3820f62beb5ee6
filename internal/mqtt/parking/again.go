package parking

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// parkedKey is the task that handles the oldest parked message of its key.
var _ delivery.Task = (*parkedKey)(nil)

// Run implements [delivery.Task]. It is always done: pauses are the backlog's, so
// that a drain does not wait for them.
func (k *parkedKey) Run(ctx context.Context) (again time.Duration, done bool) {
	after, more := k.step(ctx)
	k.of.end(k)
	if more {
		k.of.scheduleAgain(k, after)
	}
	// Not deferred: a handler that ends its goroutine is run again by the
	// scheduler, and still has its turn.
	k.of.session.giveBack(k)
	return 0, true
}

// step does what is due, and says when something is due again.
func (k *parkedKey) step(ctx context.Context) (after time.Duration, more bool) {
	id, p := k.of.begin(k), k.of.parking
	if id == "" || ctx.Err() != nil {
		return 0, false
	}
	if k.current == nil && !k.over {
		if err := k.load(ctx, id); errors.Is(err, deadletter.ErrNotFound) {
			return 0, k.next() // dropped by an operator
		} else if err != nil {
			return k.storeFails(ctx, id, err)
		}
	}
	if !k.over {
		d := k.current
		again, done := k.task.Run(ctx)
		if !done {
			return again, ctx.Err() == nil
		}
		k.current, k.task = nil, nil
		switch d.Kept().result {
		case delivery.Parked:
			k.tries++
			return k.retryLater(d)
		case delivery.Exhausted, delivery.Permanent:
			return 0, k.next()
		}
		k.over = true
	}
	ctx, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	if err := p.Store.Delete(ctx, id); err != nil {
		return k.storeFails(ctx, id, err)
	}
	p.Log.Few("parked handled", "", func(more []any) {
		p.Log.Info("mqtt: parked message handled", append(more, logsafe.KeyLetterID, id)...)
	})
	return 0, k.next()
}

// load gets the message from the store. It is kept for one attempt only.
func (k *parkedKey) load(ctx context.Context, id string) error {
	p := k.of.parking
	ctx, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	l, err := p.Store.Get(ctx, id)
	if err != nil {
		return err
	}
	if l.State != deadletter.Parked {
		return deadletter.ErrNotFound // no longer ours to handle
	}
	d, task := k.of.Deliver(NewKept(l), k.tries)
	if l.Omitted != (deadletter.Omitted{}) { // as an earlier version parked some, or the store could not read all
		if err := p.Put(ctx, d, fmt.Errorf("the parked message is not whole: %v: %s", l.Omitted, l.Reason), 0); err != nil {
			return err
		}
		return deadletter.ErrNotFound
	}
	k.current, k.task = d, task
	return nil
}

// next goes on to the message behind.
func (k *parkedKey) next() (more bool) {
	k.current, k.task, k.tries, k.over = nil, nil, 0, false
	k.retries = nil // the pauses begin anew
	k.of.parking.problems.clear(k)
	return k.of.done(k)
}

func (k *parkedKey) storeFails(ctx context.Context, id string, err error) (after time.Duration, more bool) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return 0, false
	}
	p := k.of.parking
	after = k.pause()
	k.failed(err.Error())
	p.problems.set(k, err)
	p.Log.Few("letter store", "", func(more []any) {
		p.Log.Error("mqtt: dead-letter store fails for a parked message", append(more,
			logsafe.KeyLetterID, id, logsafe.KeyRetryIn, after, logsafe.KeyError, err)...)
	})
	return after, true
}

func (k *parkedKey) retryLater(d Delivery) (after time.Duration, more bool) {
	p, kept, attempt := k.of.parking, d.Kept(), d.Attempts(1)
	p.problems.clear(k)
	k.failed(kept.Reason)
	after = k.pause()
	topic, reason := d.Message().Topic, kept.Reason
	p.Log.Few("retries", origin(d), func(more []any) {
		p.Log.Warn("mqtt: parked message failed again and is tried again", append(more, logsafe.KeyFilter, d.Filter(), logsafe.KeyTopic, topic,
			logsafe.KeyLetterID, kept.ID, logsafe.KeyAttempts, attempt, logsafe.KeyRetryIn, after, logsafe.KeyError, reason)...)
	})
	if h := p.Retrying; h != nil {
		p.Call(func() { h(event.RetryInfo{Delivery: d.Info(attempt), After: after, Err: errors.New(kept.Reason)}) })
	}
	return after, true
}

// failed notes why the key is still held.
func (k *parkedKey) failed(why string) {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	k.why = why
}

func (k *parkedKey) stop() {
	if k.timer != nil {
		k.timer.Stop()
	}
}

// ParkAgain leaves a message parked that failed once more, or makes it a dead
// letter when that was for too long or too often. What the store has is not written
// anew: an operator may have deleted it meanwhile.
func (l *Backlog) ParkAgain(ctx context.Context, d Delivery, cause error, attempts int) error {
	kept := d.Kept()
	if !l.often(d.Attempts(attempts)) && time.Since(kept.Received) < l.parking.ParkLimit {
		kept.Reason = logsafe.Text(cause.Error())
		return nil
	}
	return l.parking.Put(ctx, d, cause, attempts)
}

// Finished takes note of how an attempt at a parked message ended.
func (l *Backlog) Finished(d Delivery, o delivery.Outcome) {
	kept := d.Kept()
	if kept.result = o.Result; o.Result == delivery.Parked && kept.State == deadletter.Dead {
		kept.result = delivery.Exhausted // it became one instead
	}
	l.parking.ended(d, o)
}
