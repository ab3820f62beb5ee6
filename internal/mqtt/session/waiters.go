package session

import (
	"context"
	"slices"
	"time"
)

// need is what somebody in line waits for.
type need struct {
	qos     byte
	calls   *callbacks // that the outcome goes to; takes room until it ran. nil for none
	drained bool       // waits for an empty window instead
}

// waiter is a publisher in line for room or for a connection, first come first
// served among those who need the same.
type waiter struct {
	need
	ready chan struct{}
	woken bool // has been told, and has not looked yet
}

// admits reports whether one with this need has to wait no longer.
func (o *outbound) admits(n need) bool {
	switch {
	case n.drained:
		return o.win.used == 0 || o.cur == nil
	case o.closed != nil:
		return true // to be told so
	case o.cur == nil:
		return false
	}
	if c := n.calls; c != nil && o.win.used+c.waiting >= o.win.size { // of its own kind only: one may hang
		return false
	}
	if n.qos == 0 { // nothing else goes beside a suspect
		return !o.blocked && o.probe == 0
	}
	return !o.win.full(n.qos, o.qos2Cap)
}

// behind reports whether a newcomer has to queue: somebody in line may go first.
func (o *outbound) behind() bool {
	for _, w := range o.waiters {
		if o.admits(w.need) {
			return true
		}
	}
	return false
}

// enter joins the line.
func (o *outbound) enter(n need) *waiter {
	w := &waiter{need: n, ready: make(chan struct{}, 1)}
	o.waiters = append(o.waiters, w)
	return w
}

// leave ends a wait, in whatever way, and lets the next one look: what the
// first did not use must not be lost.
func (o *outbound) leave(w *waiter) {
	if w == nil {
		return
	}
	if i := slices.Index(o.waiters, w); i >= 0 {
		o.waiters = slices.Delete(o.waiters, i, i+1)
	}
	o.wake()
}

// wake tells the first in line whose need is met. Who leaves the line wakes
// the next, so that one call is enough however much became free.
func (o *outbound) wake() {
	for _, w := range o.waiters {
		if !w.woken && o.admits(w.need) {
			w.woken = true
			w.ready <- struct{}{}
			return
		}
	}
}

// block waits to be woken, without the lock.
func (w *waiter) block(ctx context.Context, timeout <-chan time.Time) error {
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout:
		return context.DeadlineExceeded
	}
}
