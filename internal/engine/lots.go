package engine

import (
	"slices"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/delivery"
)

// lots are the lots of a session. It bounds how many parked messages are handled
// at once, so that new ones always find a worker.
type lots struct {
	sched *delivery.Scheduler

	mu      sync.Mutex
	all     []*lot
	turns   int     // that are free
	waiting []*held // for a turn
	closed  bool
}

func (t *lots) init(sched *delivery.Scheduler, workers int) {
	t.sched, t.turns = sched, max(1, workers/2)
}

func (t *lots) add(l *lot) {
	if l == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, l)
}

// remove ends the retries of a subscription that was taken back.
func (t *lots) remove(l *lot) {
	if l == nil {
		return
	}
	t.mu.Lock()
	t.all = slices.DeleteFunc(t.all, func(x *lot) bool { return x == l })
	t.mu.Unlock()
	l.close()
}

func (t *lots) list() []*lot {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.all)
}

// close ends all retries.
func (t *lots) close() {
	t.mu.Lock()
	t.closed, t.waiting = true, nil
	t.mu.Unlock()
	for _, l := range t.list() {
		l.close()
	}
}

func (t *lots) count() (messages, keys int) {
	for _, l := range t.list() {
		messages += int(l.count.Load())
		l.mu.Lock()
		keys += len(l.keys)
		l.mu.Unlock()
	}
	return messages, keys
}

// take gives a key its turn, now or when one is free.
func (t *lots) take(h *held) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return
	}
	if t.turns == 0 {
		t.waiting = append(t.waiting, h)
		t.mu.Unlock()
		return
	}
	t.turns--
	t.mu.Unlock()
	t.submit(h)
}

// give hands a turn on.
func (t *lots) give() {
	t.mu.Lock()
	if len(t.waiting) == 0 {
		t.turns++
		t.mu.Unlock()
		return
	}
	h := t.waiting[0]
	t.waiting[0] = nil
	t.waiting = t.waiting[1:]
	t.mu.Unlock()
	t.submit(h)
}

func (t *lots) submit(h *held) {
	t.sched.Submit(delivery.Item{Task: h, Lane: h.lot.lane, Key: h.order, Must: true})
}
