package bridge

import (
	"context"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// teller calls one hook, in order, on a goroutine of its own that lives while
// there is something to tell: a hook that hangs holds up nothing but itself. At
// the bound of what waits for it, it misses calls.
type teller struct {
	set *hookSet

	mu      sync.Mutex
	queue   []func()
	idle    chan struct{} // closed when the goroutine ends; nil without one
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
	say, missed, waiting := t.sayable.Due(time.Now()), t.missed, len(t.queue)
	t.mu.Unlock()
	if say {
		t.set.log.Errorf("mqtt: a hook does not return, or is too slow: %d calls wait for it, and it missed %d (said once a minute)", waiting, missed)
	}
}

// push reports whether there was room.
func (t *teller) push(f func()) bool {
	if len(t.queue) >= maxTold {
		return false
	}
	t.queue = append(t.queue, f)
	if t.idle == nil {
		t.idle = make(chan struct{})
		go t.run(t.idle)
	}
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

// run owns the goroutine.
func (t *teller) run(idle chan<- struct{}) {
	defer close(idle)
	for f := t.next(); f != nil; f = t.next() {
		protect(t.set.log, "a hook", f)
	}
}

func (t *teller) next() func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.queue, t.idle = nil, nil
		return nil
	}
	f := t.queue[0]
	t.queue[0] = nil
	t.queue = t.queue[1:]
	return f
}

// hookGrace is what the last calls may take after the end of the context: they
// tell what was left undone.
const hookGrace = 100 * time.Millisecond

// wait returns when every hook was told, or soon after ctx ends: a hook may hang,
// or be the one who stops the broker.
func (s *hookSet) wait(ctx context.Context) {
	var grace <-chan time.Time
	over := ctx.Done()
	for _, t := range s.tellers {
		for idle := t.busy(); idle != nil; {
			select {
			case <-idle:
				idle = nil
			case <-over:
				over = nil
				timer := time.NewTimer(hookGrace)
				defer timer.Stop()
				grace = timer.C
			case <-grace:
				return
			}
		}
	}
}

func (t *teller) busy() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.idle
}
