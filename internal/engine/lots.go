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
	turns   int // that are free
	waiting turns
	closed  bool
}

// turns are the keys that wait for a turn. Origins take turns, and the keys of one wait
// for each other: however many a sender has parked, it is one of those who wait.
type turns struct {
	of   map[string][]*held // by origin
	next []string           // origins with keys that wait, each once
}

func (t *turns) add(h *held) {
	if t.of == nil {
		t.of = make(map[string][]*held)
	}
	keys := t.of[h.origin]
	if len(keys) == 0 {
		t.next = append(t.next, h.origin)
	}
	t.of[h.origin] = append(keys, h)
}

// take returns the key whose turn is next; nil is none.
func (t *turns) take() *held {
	if len(t.next) == 0 {
		return nil
	}
	origin := t.next[0]
	t.next = t.next[1:]
	keys := t.of[origin]
	h := keys[0]
	keys[0] = nil
	if keys = keys[1:]; len(keys) == 0 {
		delete(t.of, origin)
		return h
	}
	t.of[origin] = keys
	t.next = append(t.next, origin)
	return h
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
	t.closed, t.waiting = true, turns{}
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
		t.waiting.add(h)
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
	h := t.waiting.take()
	if h == nil {
		t.turns++
		t.mu.Unlock()
		return
	}
	t.mu.Unlock()
	t.submit(h)
}

func (t *lots) submit(h *held) {
	t.sched.Submit(delivery.Item{Task: h, Lane: h.lot.lane, Key: h.order, Must: true})
}
