package hook

import (
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// teller calls one hook, in order, on a goroutine of its own that runs while calls are
// queued: a hook that hangs delays only its own calls. When its queue is full, it misses
// calls.
type teller struct {
	log   logsafe.Logger
	queue *queue.Queue[func()]

	mu      sync.Mutex
	waiting int // calls
	missed  int
	sayable logsafe.PerMinute
	drops   event.DropInfo // not yet reported
	dropDue bool           // the call that reports them is queued
}

// maxTold is the maximum number of calls queued for a hook.
const maxTold = 10_000

// maxToldOfSenders is the maximum number of queued calls of one kind, for kinds that any
// publisher can cause. The rest of the queue is left to the other kinds.
const maxToldOfSenders = maxTold / 4

func newTeller(log logsafe.Logger) *teller {
	t := &teller{log: log}
	t.queue = queue.New(t.work)
	return t
}

// work runs the queued calls.
func (t *teller) work(calls []func()) {
	for _, f := range calls {
		t.mu.Lock()
		t.waiting--
		t.mu.Unlock()
		Protect(t.log, "a hook", f)
	}
}

// add queues f behind earlier calls, and reports whether there was room. It does not
// block.
func (t *teller) add(f func()) bool {
	t.mu.Lock()
	added := t.push(f)
	t.mu.Unlock()
	if !added {
		t.miss()
	}
	return added
}

// miss counts a call for which there was no room.
func (t *teller) miss() {
	t.mu.Lock()
	t.missed++
	say, missed, waiting := t.sayable.Due(time.Now()), t.missed, t.waiting
	t.mu.Unlock()
	if say {
		t.log.Errorf("mqtt: a hook does not return, or is too slow: %d calls wait for it, and it missed %d (said once a minute)", waiting, missed)
	}
}

// push queues f and reports whether there was room. The caller holds mu.
func (t *teller) push(f func()) bool {
	if t.waiting >= maxTold {
		return false
	}
	t.waiting++
	t.queue.Add(f)
	return true
}

// dropped adds up drops that are not yet reported to h: many drops become one call.
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

// Protect calls a user's function, and logs its panic.
func Protect(log logsafe.Logger, what string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			log.Errorf("mqtt: %s panicked: %v", what, r)
		}
	}()
	f()
}
