package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrRefused is the error of a Flush that ended because all remaining entries are refused
// or not acknowledged by the broker, or are awaited. It is wrapped with the reason why the
// first key waits.
var ErrRefused = errors.New("outbox: the broker refuses the remaining entries")

// waiter is a Flush that waits until all entries up to target have left the store.
type waiter struct {
	done        chan struct{}
	readBegun   bool // a read to the end of the store began after the call
	targetKnown bool // target is known
	target      uint64
	err         error // valid once done is closed
}

// Flush returns nil once every entry that was in the store at the time of the call is
// acknowledged and deleted, or quarantined; with KeepAcknowledged, that includes the end of
// that time. It may also wait for entries that are appended meanwhile. It returns the error
// of ctx when ctx ends, [ErrStopped] when the relay ends, [ErrRefused] when all remaining
// entries wait for entries that the broker refuses, and [outbox.ErrNotHolder] while another
// process relays, because this one does not know its progress.
func (r *Relay) Flush(ctx context.Context) error {
	w := &waiter{done: make(chan struct{})}
	r.mu.Lock()
	if r.ended {
		r.mu.Unlock()
		return ErrStopped
	}
	r.waiters = append(r.waiters, w)
	r.w.atEnd = false
	r.mu.Unlock()
	r.wake()
	select {
	case <-w.done:
		return w.err
	case <-r.done:
		return ErrStopped
	case <-ctx.Done():
	}
	r.mu.Lock()
	r.waiters = slices.DeleteFunc(r.waiters, func(x *waiter) bool { return x == w })
	r.mu.Unlock()
	return fmt.Errorf("outbox: flush: %w", ctx.Err())
}

// readBegun notes that a read to the end of the store begins.
func (w *worker) readBegun() {
	for _, x := range w.waiters {
		x.readBegun = true
	}
}

// reachedEnd notes that a read found nothing: every entry in the store has been read.
func (w *worker) reachedEnd() {
	for _, x := range w.waiters {
		if x.readBegun && !x.targetKnown {
			x.targetKnown, x.target = true, w.w.frontier
			w.checkDue = true
		}
	}
}

func (w *worker) anyTarget() bool {
	return slices.ContainsFunc(w.waiters, func(x *waiter) bool { return x.targetKnown })
}

// check reads the first entry of the store and ends the Flush calls that wait only for
// earlier entries.
func (w *worker) check(ctx context.Context) error {
	first, err := w.store.Read(ctx, 0, 1)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checkDue = false
	w.waiters = slices.DeleteFunc(w.waiters, func(x *waiter) bool {
		over := x.targetKnown && (len(first) == 0 || first[0].Seq > x.target)
		if over {
			close(x.done)
		}
		return over
	})
	if !w.anyTarget() || w.w.kept.Len() > 0 || !w.w.onlyRefused() {
		return nil
	}
	err = fmt.Errorf("%w: %d keys wait, the first for %w", ErrRefused, w.w.closed.lanes, w.w.closed.firstError())
	w.waiters = slices.DeleteFunc(w.waiters, func(x *waiter) bool {
		if x.targetKnown {
			x.err = err
			close(x.done)
		}
		return x.targetKnown
	})
	return nil
}

// OnlyRefused reports whether the store has entries left and a Flush would wait for none of
// them: the broker refuses or does not acknowledge their keys, they are awaited, or
// KeepAcknowledged keeps them.
func (r *Relay) OnlyRefused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.w.atEnd && r.w.onlyRefused()
}

// giveUpFlush ends all waiting Flush calls with an error.
func (r *Relay) giveUpFlush(err error) {
	for _, x := range r.waiters {
		x.err = err
		close(x.done)
	}
	r.waiters = nil
}
