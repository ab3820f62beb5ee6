package outbox

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// delays moves the delayed entries of a store to the end of the waiting ones when they are due,
// beside the relay. A store whose delays is nil cannot delay entries.
type delays struct {
	store  outbox.Delayer
	poll   time.Duration
	now    func() time.Time
	alarms *alarms
	failed atomic.Bool // while the store fails
}

const (
	// releaseMost is how many entries are moved at a time: others use the store in between.
	releaseMost = 256
	// defaultPoll is how often the wall clock and the store are looked at without a reason.
	defaultPoll = time.Second
)

func newDelays(s *Settings, alarms *alarms) *delays {
	d, ok := s.Store.(outbox.Delayer)
	if !ok {
		return nil
	}
	poll := s.Poll
	if poll <= 0 {
		poll = defaultPoll
	}
	return &delays{store: d, poll: poll, now: time.Now, alarms: alarms}
}

// run moves entries until ctx ends.
func (d *delays) run(ctx context.Context) {
	if d == nil {
		return
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-d.store.DelayedChanged():
		}
		timer.Reset(d.release(ctx))
	}
}

// release moves the entries that are due, and returns how long there is nothing to do. The wall
// clock may be set while nothing is done, and another process may delay entries in the same
// store, so it is never longer than the poll interval.
func (d *delays) release(ctx context.Context) time.Duration {
	within, cancel := context.WithTimeout(ctx, releaseTime)
	defer cancel()
	now := d.now().Round(0)
	moved, next, err := d.store.Release(within, now, releaseMost)
	switch {
	case errors.Is(err, outbox.ErrNotHolder), ctx.Err() != nil:
		return d.poll
	case err != nil:
		if !errors.Is(err, outbox.ErrClosed) {
			d.alarms.failed(err)
		}
		d.failed.Store(true)
		return d.poll
	case d.failed.CompareAndSwap(true, false):
		d.alarms.works()
	}
	switch wait := next.Sub(d.now().Round(0)); {
	case next.IsZero():
		return d.poll
	case wait > 0:
		return min(wait, d.poll)
	case moved > 0: // there are more
		return 0
	default: // no room for it, or another transaction has locked it
		return min(retryRelease, d.poll)
	}
}

const (
	// releaseTime bounds one call of the store.
	releaseTime = 30 * time.Second
	// retryRelease is the pause after a due entry could not be moved.
	retryRelease = 100 * time.Millisecond
)

var errNoDelays = errors.New("the store of the outbox cannot delay messages: it does not implement outbox.Delayer")

// checkDue returns an error for an entry that the store cannot delay.
func (d *delays) checkDue(e *outbox.Entry) error {
	if d == nil && !e.Due.IsZero() {
		return failed(e.Topic, event.ReasonUnsupported, errNoDelays)
	}
	return nil
}

// Delayed lists delayed entries, as the store does.
func (o *Outbox) Delayed(ctx context.Context, after *outbox.Entry, limit int) ([]*outbox.Entry, error) {
	if o.delays == nil {
		return nil, &event.Error{Op: "outbox", Reason: event.ReasonUnsupported, Cause: errNoDelays}
	}
	list, err := o.delays.store.Delayed(ctx, after, limit)
	return list, storeError(ctx, err)
}

// CancelDelayed deletes the delayed entries with these ids, and returns how many those were.
func (o *Outbox) CancelDelayed(ctx context.Context, ids ...string) (int, error) {
	if o.delays == nil {
		return 0, &event.Error{Op: "outbox", Reason: event.ReasonUnsupported, Cause: errNoDelays}
	}
	n, err := o.delays.store.Cancel(ctx, ids...)
	return n, storeError(ctx, err)
}
