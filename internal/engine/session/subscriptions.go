package session

import (
	"errors"
	"slices"
	"sync"
)

// subscriptions is what we want and what the broker granted.
type subscriptions struct {
	mu     sync.Mutex
	wanted map[string]*wanted
	order  []string // of first registration
	poke   chan struct{}
	asked  chan chan<- error // by Confirm; answered by serve
	had    bool // a session of ours existed at the broker before
}

// wanted is one wish. It is settled once; another one takes its place when the
// wish changes.
type wanted struct {
	Filter
	tentative bool          // dropped when refused
	granted   bool          // guarded by the table's mutex
	removed   bool          // to be unsubscribed
	settled   chan struct{} // closed when the broker has answered, or there is a successor
	err       error         // the refusal; valid once settled
	before    *wanted       // granted already, comes back when this one is refused
	after     *wanted       // the successor; guarded by the table's mutex
}

func (t *subscriptions) init() {
	t.wanted = make(map[string]*wanted)
	t.poke, t.asked = make(chan struct{}, 1), make(chan chan<- error)
}

func (t *subscriptions) add(f Filter, tentative bool) *wanted {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.wanted[f.Filter]
	if old != nil && old.Filter == f && !old.removed && !old.refused() {
		return old
	}
	w := &wanted{Filter: f, tentative: tentative, settled: make(chan struct{})}
	if old != nil {
		if w.before = old.before; old.granted {
			w.before = old
		}
		w.tentative = tentative || w.before != nil // a refusal leaves what was granted
	}
	t.replace(old, w)
	t.signal()
	return w
}

// remove gives nil when the filter was not wanted.
func (t *subscriptions) remove(filter string) *wanted {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.wanted[filter]
	if old == nil || old.removed {
		return old
	}
	w := &wanted{Filter: old.Filter, removed: true, settled: make(chan struct{})}
	t.replace(old, w)
	t.signal()
	return w
}

// replace puts w in the place of old, which may be nil, and sends those who
// wait for old on to w.
func (t *subscriptions) replace(old, w *wanted) {
	if old == nil {
		t.order = append(t.order, w.Filter.Filter)
	} else {
		old.after = w
		old.settle(nil)
	}
	t.wanted[w.Filter.Filter] = w
}

// successor of a settled wish, nil when it was answered itself.
func (t *subscriptions) successor(w *wanted) *wanted {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w.granted {
		return nil
	}
	return w.after
}

func (t *subscriptions) signal() {
	select {
	case t.poke <- struct{}{}:
	default:
	}
}

// attach asks again for what went with the session, whose answer then counts as
// if it were the first, and gives refused filters another chance. It says
// whether a session of ours had existed.
func (t *subscriptions) attach(present bool) (had bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, w := range t.wanted {
		if w.before != nil && !present {
			w.before = w.before.again()
		}
		if w.refused() || (w.granted && !present) {
			t.wanted[name] = w.again()
		}
	}
	had, t.had = t.had, true
	return had
}

// missing lists what the broker does not have yet, and what it has in vain.
func (t *subscriptions) missing() (add []*wanted, drop []*wanted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range t.order {
		switch w := t.wanted[name]; {
		case w.removed:
			drop = append(drop, w)
		case !w.granted && !w.refused():
			add = append(add, w)
		}
	}
	return add, drop
}

// answer notes what the broker said to one wish: nil is a grant. It reports
// whether the wish still stood.
func (t *subscriptions) answer(w *wanted, refusal error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := w.Filter.Filter
	if t.wanted[name] != w {
		return false
	}
	w.granted = refusal == nil
	w.settle(refusal)
	switch {
	case refusal == nil || !w.tentative:
	case w.before != nil:
		t.wanted[name] = w.before
	default:
		t.delete(name)
	}
	return true
}

// gone notes an UNSUBACK, and what the broker said against it.
func (t *subscriptions) gone(w *wanted, refusal error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.settle(refusal)
	if name := w.Filter.Filter; t.wanted[name] == w {
		t.delete(name)
	}
}

func (t *subscriptions) delete(name string) {
	delete(t.wanted, name)
	t.order = slices.DeleteFunc(t.order, func(n string) bool { return n == name })
}

// state counts the filters wanted and joins the refusals.
func (t *subscriptions) state() (n int, refused error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, name := range t.order {
		w := t.wanted[name]
		if !w.removed {
			n++
		}
		if w.refused() {
			errs = append(errs, w.err)
		}
	}
	return n, errors.Join(errs...)
}

// again is the same wish, not answered yet. Nobody waits for it, so that it
// stays when it is refused.
func (w *wanted) again() *wanted { return &wanted{Filter: w.Filter, settled: make(chan struct{})} }

func (w *wanted) isSettled() bool {
	select {
	case <-w.settled:
		return true
	default:
		return false
	}
}

func (w *wanted) refused() bool { return w.isSettled() && w.err != nil }

// settle tells those who wait. The table's mutex is held.
func (w *wanted) settle(err error) {
	if !w.isSettled() {
		w.err = err
		close(w.settled)
	}
}
