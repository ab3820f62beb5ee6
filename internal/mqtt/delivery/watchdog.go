package delivery

import (
	"sync"
	"time"
)

// watchdog reports attempts that passed their deadline and have not returned.
// All attempts of one watchdog have the same time limit, so the list is in the
// order of deadlines and one timer for its head suffices: no timer is set or
// stopped per message. The timer stops once the list is empty.
type watchdog struct {
	limit time.Duration

	mu         sync.Mutex
	head, tail *watch
	spare      *watch // for attempts that returned, linked by next
	timer      *time.Timer
	armed      bool
}

// watch is one running attempt. At most as many are allocated as ran at the
// same time.
type watch struct {
	owner      overrunner
	attempt    int
	since      uint32        // the epoch of the breaker at its start
	deadline   time.Duration // since epoch
	prev, next *watch
	listed     bool
}

type overrunner interface {
	overrun(attempt int, since uint32)
}

// add adds a new attempt to the list, until remove.
func (d *watchdog) add(owner overrunner, attempt int, since uint32, deadline time.Duration) *watch {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.spare
	if w == nil {
		w = new(watch)
	} else {
		d.spare = w.next
	}
	*w = watch{owner: owner, attempt: attempt, since: since, deadline: deadline, prev: d.tail, listed: true}
	if d.tail == nil {
		d.head = w
	} else {
		d.tail.next = w
	}
	d.tail = w
	if !d.armed {
		d.arm(d.limit)
	}
	return w
}

// remove removes an attempt that returned, and reports whether it was overdue; w may be nil
// and must not be used again.
func (d *watchdog) remove(w *watch) (overdue bool) {
	if w == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if overdue = !w.listed; !overdue {
		d.unlink(w)
	}
	w.owner, w.next = nil, d.spare
	d.spare = w
	return overdue
}

func (d *watchdog) unlink(w *watch) {
	if w.prev == nil {
		d.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		d.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.listed, w.prev, w.next = false, nil, nil
}

func (d *watchdog) arm(after time.Duration) {
	d.armed = true
	if d.timer == nil {
		d.timer = time.AfterFunc(after, d.fire)
		return
	}
	d.timer.Reset(after)
}

// fire reports overdue attempts, each once.
func (d *watchdog) fire() {
	type report struct {
		owner   overrunner
		attempt int
		since   uint32
	}
	var overdue []report
	at := now()
	d.mu.Lock()
	for d.head != nil && at >= d.head.deadline {
		overdue = append(overdue, report{d.head.owner, d.head.attempt, d.head.since})
		d.unlink(d.head)
	}
	d.armed = false
	if d.head != nil {
		d.arm(d.head.deadline - at)
	}
	d.mu.Unlock()
	for _, r := range overdue {
		r.owner.overrun(r.attempt, r.since)
	}
}
