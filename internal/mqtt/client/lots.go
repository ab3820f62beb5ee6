package client

import (
	"slices"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// lots are the lots of a session. It bounds how many parked messages are handled
// at once, so that new ones always find a worker.
type lots struct {
	sched *delivery.Scheduler

	mu     sync.Mutex
	all    []*lot
	turns  turns
	closed bool
}

// turns are those that keys have and wait for. Origins take turns, and the keys of one wait
// for each other: however many a sender has parked, it is one of those who wait. One
// of a filter with wildcards never has all of them.
type turns struct {
	free int
	most int                // of an origin; 0 is no bound
	has  map[string]int     // by origin, where it counts
	of   map[string][]*held // that wait, by origin
	next []string           // origins with keys that wait, each once
}

func newTurns(workers int) turns {
	t := turns{free: max(1, workers/2), has: make(map[string]int), of: make(map[string][]*held)}
	if t.free > 1 {
		t.most = t.free - max(1, t.free/8)
	}
	return t
}

func (t *turns) full(h *held) bool {
	return t.most > 0 && h.shares() && t.has[h.origin] >= t.most
}

func (t *turns) add(h *held) {
	keys := t.of[h.origin]
	if len(keys) == 0 {
		t.next = append(t.next, h.origin)
	}
	t.of[h.origin] = append(keys, h)
}

// take gives the turn that is free to a key that waits; nil is none. It passes over
// few origins: two at most have all that they may.
func (t *turns) take() *held {
	if t.free == 0 {
		return nil
	}
	for range t.next {
		origin := t.next[0]
		t.next = t.next[1:]
		keys := t.of[origin]
		h := keys[0]
		if t.full(h) {
			t.next = append(t.next, origin)
			continue
		}
		keys[0] = nil
		if keys = keys[1:]; len(keys) == 0 {
			delete(t.of, origin)
		} else {
			t.of[origin] = keys
			t.next = append(t.next, origin)
		}
		t.free--
		if h.shares() {
			t.has[origin]++
		}
		return h
	}
	return nil
}

// give ends a turn.
func (t *turns) give(h *held) {
	t.free++
	if !h.shares() {
		return
	}
	if t.has[h.origin]--; t.has[h.origin] == 0 {
		delete(t.has, h.origin)
	}
}

func (t *lots) init(sched *delivery.Scheduler, workers int) {
	t.sched, t.turns = sched, newTurns(workers)
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
	t.closed, t.turns.of, t.turns.next = true, nil, nil
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
	t.turns.add(h)
	t.mu.Unlock()
	t.hand()
}

// give hands a key's turn on.
func (t *lots) give(h *held) {
	t.mu.Lock()
	t.turns.give(h)
	t.mu.Unlock()
	t.hand()
}

// hand gives the turns that are free to keys that wait.
func (t *lots) hand() {
	for {
		t.mu.Lock()
		h := t.turns.take()
		t.mu.Unlock()
		if h == nil {
			return
		}
		t.sched.Submit(delivery.Item{
			Task: h, Lane: h.lot.lane, Key: h.order, Origin: t.sched.Key(h.origin), Shares: h.shares(), Must: true,
		})
	}
}
