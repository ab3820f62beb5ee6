package delivery

import (
	"errors"
	"time"
)

// LaterError is the error of a handler that could not begin, because another call is at
// the same piece of work. It is no attempt: nothing is counted, told or judged, and the
// budget does not begin. The message keeps its place and holds no worker until the
// handler is called again.
type LaterError struct {
	// Err is why.
	Err error
	// OnEnd has f called, once, when the handler can begin; nil when nobody knows
	// when that is.
	OnEnd func(f func())
}

// Error implements error.
func (l *LaterError) Error() string { return l.Err.Error() }

// Unwrap returns Err.
func (l *LaterError) Unwrap() error { return l.Err }

// IsLater reports whether an error is a [LaterError], or wraps one.
func IsLater(err error) bool {
	_, ok := errors.AsType[*LaterError](err)
	return ok
}

// The pauses before a handler that could not begin is called again: growing ones
// where nobody tells when it can begin, and a long one, to be safe, where OnEnd does.
const (
	firstLater = 20 * time.Millisecond
	maxLater   = time.Second
	toldLater  = 5 * time.Second
)

// later reports whether the handler could not begin when it was called, and returns
// the pause before the next call.
func (d *Delivery[M]) later() (again time.Duration, ok bool) {
	l, ok := errors.AsType[*LaterError](d.err)
	if !ok {
		return 0, false
	}
	d.err = nil
	if d.tries--; d.tries == 0 {
		d.since = 0
	}
	r := d.repeats()
	if waker := d.attempts.policy.Waker; waker != nil && l.OnEnd != nil {
		if wake := waker(d.msg); wake != nil {
			// Once, however often it is tried meanwhile: what it waits for may never end.
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

// Wake runs a task now that waits to be run again, or had it run once more when it is
// running. It does nothing when the task is not the oldest of its key; key 0 is none.
// Safe for concurrent use; it waits for no task.
func (l *Lane) Wake(key uint64, t Task) {
	s := l.scheduler
	s.mu.Lock()
	q := l.keys[key]
	if s.stopped || q == nil || q.items.front().task != t {
		s.mu.Unlock()
		return
	}
	if q.timer == nil || !q.timer.Stop() {
		q.woken = true // it runs, or is about to
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
