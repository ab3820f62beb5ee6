package delivery

import (
	"errors"
	"time"
)

// LaterError is the error of a handler that could not begin because another
// call is working on the same thing. It does not count as an attempt: it is not
// reported or judged, and the budget does not start. The message keeps its
// place and holds no worker until the handler is called again.
type LaterError struct {
	// Err is the reason.
	Err error
	// OnEnd registers f to be called once when the handler can begin. It is nil
	// if that cannot be known.
	OnEnd func(f func())
}

// Error implements error.
func (l *LaterError) Error() string { return l.Err.Error() }

// Unwrap returns Err.
func (l *LaterError) Unwrap() error { return l.Err }

// IsLater reports whether err is or wraps a [LaterError].
func IsLater(err error) bool {
	_, ok := errors.AsType[*LaterError](err)
	return ok
}

// The pauses before a handler that could not begin is called again. They grow
// if there is no OnEnd. With OnEnd one long pause is used, in case the call is
// missed.
const (
	firstLater = 20 * time.Millisecond
	maxLater   = time.Second
	toldLater  = 5 * time.Second
)

// later reports whether the handler could not begin, and returns the pause
// before the next call.
func (d *Delivery[M]) later(err error) (again time.Duration, ok bool) {
	l, ok := errors.AsType[*LaterError](err)
	if !ok {
		return 0, false
	}
	r := d.repeats()
	r.err = nil
	if d.tries--; d.tries == 0 {
		r.renew = true
	}
	if waker := d.attempts.policy.Waker; waker != nil && l.OnEnd != nil {
		if wake := waker(d.msg); wake != nil {
			// Register only once, however often the handler is called
			// meanwhile, because the work it waits for may never end.
			if r.asked.CompareAndSwap(false, true) {
				l.OnEnd(func() {
					r.asked.Store(false)
					wake()
				})
			}
			return toldLater, true
		}
	}
	again = min(firstLater<<min(r.waits, 10), maxLater)
	r.waits++
	return again, true
}

// Wake immediately runs a task that waits to be run again, or makes a running
// task run once more. It does nothing if the task is not the oldest of its key
// or key is 0. It is safe for concurrent use and does not wait for a task.
func (l *Lane) Wake(key uint64, t Task) {
	s := l.scheduler
	s.mu.Lock()
	q := l.keys[key]
	if s.stopped || q == nil || q.items.Front().task != t {
		s.mu.Unlock()
		return
	}
	if q.timer == nil || !q.timer.Stop() {
		q.woken = true // it is running or about to run
		s.mu.Unlock()
		return
	}
	delete(s.paused, q)
	q.timer = nil
	l.enlist(q)
	wake := s.wake()
	s.mu.Unlock()
	wake.signal()
}
