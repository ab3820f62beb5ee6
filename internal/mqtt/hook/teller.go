package hook

import (
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// teller calls one hook, in order, on a goroutine of its own that lives while
// there is something to tell: a hook that hangs holds up nothing but itself. At
// the bound of what waits for it, it misses calls.
type teller struct {
	log   logsafe.Logger
	queue *queue.Queue[func()]

	mu      sync.Mutex
	waiting int // calls
	missed  int
	sayable logsafe.PerMinute
	drops   event.DropInfo // to be told
	dropDue bool           // the call for them is in the queue
}

// maxTold is how many calls wait for a hook at most.
const maxTold = 10_000

// maxToldOfSenders is how many calls of one kind wait for a hook at most, of the kinds
// that whoever may publish causes at will: the others have the rest.
const maxToldOfSenders = maxTold / 4

func newTeller(log logsafe.Logger) *teller {
	t := &teller{log: log}
	t.queue = queue.New(t.work)
	return t
}

// work calls what was added.
func (t *teller) work(calls []func()) {
	for _, f := range calls {
		t.mu.Lock()
		t.waiting--
		t.mu.Unlock()
		Protect(t.log, "a hook", f)
	}
}

// add has f called, behind what was added before, and reports whether it will be. It
// does not wait.
func (t *teller) add(f func()) bool {
	t.mu.Lock()
	added := t.push(f)
	t.mu.Unlock()
	if !added {
		t.miss()
	}
	return added
}

// miss counts a call that there was no room for.
func (t *teller) miss() {
	t.mu.Lock()
	t.missed++
	say, missed, waiting := t.sayable.Due(time.Now()), t.missed, t.waiting
	t.mu.Unlock()
	if say {
		t.log.Errorf("mqtt: a hook does not return, or is too slow: %d calls wait for it, and it missed %d (said once a minute)", waiting, missed)
	}
}

// push reports whether there was room. mu is held.
func (t *teller) push(f func()) bool {
	if t.waiting >= maxTold {
		return false
	}
	t.waiting++
	t.queue.Add(f)
	return true
}

// dropped adds up what h has not been told yet: many calls become one.
func (t *teller) dropped(h event.DropHook, info event.DropInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drops.QueueFull += info.QueueFull
	t.drops.Unmatched += info.Unmatched
	t.drops.UnmatchedKept += info.UnmatchedKept
	t.drops.IllFormed += info.IllFormed
	if !t.dropDue {
		t.dropDue = t.push(func() { h.OnDrop(t.takeDrops()) })
	}
}

func (t *teller) takeDrops() event.DropInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.drops
	t.drops, t.dropDue = event.DropInfo{}, false
	return all
}

// Protect calls a function of the user's, and logs its panic.
func Protect(log logsafe.Logger, what string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorf("mqtt: %s panicked: %v", what, r)
		}
	}()
	f()
}
