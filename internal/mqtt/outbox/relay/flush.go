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
var ErrRefused = errors.New("outbox: the broker refuses what is left")

// waiter is a Flush that waits until all entries up to target have left the store.
type waiter struct {
	done   chan struct{}
	asked  bool // the end of the store is being looked for since it came
	known  bool // target is
	target uint64
	err    error // once done is closed
}

// Flush returns nil once everything that was in the store when it was called is
// acknowledged and deleted, or quarantined; with Hold, that includes the end of
// it. Entries that are accepted meanwhile may be waited for too. It ends with
// the error of ctx, with [ErrStopped], with [ErrRefused] when all that is left
// waits for entries that the broker refuses, or with [outbox.ErrNotHolder] while another
// process relays: what that does is not known here.
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

// asked notes that a read begins.
func (w *worker) asked() {
	for _, x := range w.waiters {
		x.asked = true
	}
}

// reachedEnd notes that a read found nothing: all that is in the store was seen.
func (w *worker) reachedEnd() {
	for _, x := range w.waiters {
		if x.asked && !x.known {
			x.known, x.target = true, w.w.frontier
			w.checkDue = true
		}
	}
}

func (w *worker) anyTarget() bool {
	return slices.ContainsFunc(w.waiters, func(x *waiter) bool { return x.known })
}

// check asks the store for its first entry and lets those go that wait for
// earlier ones only.
func (w *worker) check(ctx context.Context) error {
	first, err := w.store.Read(ctx, 0, 1)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.checkDue = false
	w.waiters = slices.DeleteFunc(w.waiters, func(x *waiter) bool {
		over := x.known && (len(first) == 0 || first[0].Seq > x.target)
		if over {
			close(x.done)
		}
		return over
	})
	if !w.anyTarget() || w.w.held.len() > 0 || !w.w.onlyRefused() {
		return nil
	}
	err = fmt.Errorf("%w: %d keys wait, the first for %w", ErrRefused, w.w.shut.lanes, w.w.shut.why())
	w.waiters = slices.DeleteFunc(w.waiters, func(x *waiter) bool {
		if x.known {
			x.err = err
			close(x.done)
		}
		return x.known
	})
	return nil
}

// OnlyRefused reports whether the store has entries left, and a Flush could wait for none
// of them: their keys are refused or not acknowledged by the broker, or are awaited, or
// Hold keeps the entries.
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
