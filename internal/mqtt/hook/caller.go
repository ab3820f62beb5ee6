package hook

import (
	"fmt"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// caller calls one hook, in order, on a goroutine of its own that runs while calls are
// queued: a hook that hangs delays only its own calls. When its queue is full, it misses
// calls.
type caller struct {
	log   logsafe.Log
	queue *queue.Queue[func()]

	mu      sync.Mutex
	waiting int // calls
	missed  int
	drops   event.UnhandledInfo // not yet reported
	dropDue bool                // the call that reports them is queued
}

// maxQueued is the maximum number of calls queued for a hook.
const maxQueued = 10_000

// maxQueuedOfSenders is the maximum number of queued calls of one kind, for kinds that any
// publisher can cause. The rest of the queue is left to the other kinds.
const maxQueuedOfSenders = maxQueued / 4

func newCaller(log logsafe.Log) *caller {
	t := &caller{log: log}
	t.queue = queue.New(t.work)
	return t
}

// work runs the queued calls.
func (t *caller) work(calls []func()) {
	t.queue.Each(calls, func(f func()) {
		t.mu.Lock()
		t.waiting--
		t.mu.Unlock()
		Protect(t.log, "a hook", f)
	})
}

// add queues f behind earlier calls, and reports whether there was room. It does not
// block.
func (t *caller) add(f func()) bool {
	t.mu.Lock()
	added := t.push(f)
	t.mu.Unlock()
	if !added {
		t.miss()
	}
	return added
}

// miss counts a call for which there was no room.
func (t *caller) miss() {
	t.mu.Lock()
	t.missed++
	missed, waiting := t.missed, t.waiting
	t.mu.Unlock()
	t.log.Seldom("slow hook", func(more []any) {
		t.log.Error("mqtt: a hook does not return, or is too slow, and misses calls", append(more, logsafe.KeyCount, waiting, logsafe.KeyTotal, missed)...)
	})
}

// push queues f and reports whether there was room. The caller holds mu.
func (t *caller) push(f func()) bool {
	if t.waiting >= maxQueued {
		return false
	}
	t.waiting++
	t.queue.Add(f)
	return true
}

// dropped adds up drops that are not yet reported to h: many drops become one call.
func (t *caller) dropped(h event.UnhandledHook, info event.UnhandledInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drops.QueueFull += info.QueueFull
	t.drops.Unmatched += info.Unmatched
	t.drops.UnmatchedKept += info.UnmatchedKept
	t.drops.IllFormed += info.IllFormed
	if !t.dropDue {
		t.dropDue = t.push(func() { h.OnUnhandled(t.takeDrops()) })
	}
}

func (t *caller) takeDrops() event.UnhandledInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.drops
	t.drops, t.dropDue = event.UnhandledInfo{}, false
	return all
}

// Protect calls a user's function, and logs its panic.
func Protect(log logsafe.Log, what string, f func()) {
	defer func() {
		if r := recover(); r != nil {
			log.Few("panics", "", func(more []any) {
				log.Error("mqtt: "+what+" panicked", append(more, logsafe.KeyPanic, fmt.Sprint(r))...)
			})
		}
	}()
	f()
}
