package session

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// subscriptions is what we want and what the broker granted.
type subscriptions struct {
	mu      sync.Mutex
	wanted  map[string]*wanted
	order   []string // of first registration
	poke    chan struct{}
	asked   chan chan<- error // by Confirm; answered by serve
	had     bool              // a session of ours existed at the broker before
	told    bool              // that every filter is granted, on this connection
	at      int               // address of the last connection
	pending []*wanted         // in a SUBSCRIBE that has no answer yet
}

// wanted is one wish. It is settled once; another one takes its place when the
// wish changes.
type wanted struct {
	Filter
	tentative bool          // dropped when refused
	removed   bool          // to be unsubscribed
	quiet     bool          // nobody new wants retained messages
	suspect   bool          // asked for when the broker ended a connection
	alone     uint8         // how often it was the only one
	weight    uint8         // of these ends as evidence against it
	until     time.Time     // convicted, or without an answer: not asked for again before
	ignored   uint8         // how often there was no answer
	settled   chan struct{} // closed when the broker has answered, or there is a successor
	err       error         // the refusal; valid once settled

	// Guarded by the table's mutex.
	sent    bool // on this connection: retained messages may have come already
	granted bool
	level   byte    // that the broker granted
	before  *wanted // granted already, comes back when this one is refused
	after   *wanted // the successor
}

func (t *subscriptions) init() {
	t.wanted = make(map[string]*wanted)
	t.poke, t.asked = make(chan struct{}, 1), make(chan chan<- error)
}

// add notes a wish; retain is the retain handling of who is new.
func (t *subscriptions) add(f Filter, tentative bool, retain byte) *wanted {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.wanted[f.Filter]
	if old != nil && old.Filter == f && !old.removed && !old.refused() && (retain != retainAll || !old.sent) {
		return old
	}
	w := &wanted{Filter: f, tentative: tentative, settled: make(chan struct{})}
	if old != nil {
		if w.before = old.before; old.granted {
			w.before = old
		}
		w.tentative = tentative || w.before != nil // a refusal leaves what was granted
		w.quiet = retain == retainNever && w.before != nil
	}
	t.replace(old, w)
	t.signal()
	return w
}

// lower changes a granted wish to what those who are left want; nil is nothing
// to do.
func (t *subscriptions) lower(f Filter) *wanted {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.wanted[f.Filter]
	if old == nil || !old.granted || old.removed || old.Filter == f {
		return nil
	}
	w := &wanted{Filter: f, tentative: true, quiet: true, settled: make(chan struct{}), before: old}
	t.replace(old, w)
	t.signal()
	return w
}

// remove returns nil when the filter was not wanted. One that an earlier run may
// have left at the broker is removed in any case.
func (t *subscriptions) remove(filter string, left bool) *wanted {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.wanted[filter]
	if old == nil && !left || old != nil && (old.removed || left) {
		return old
	}
	w := &wanted{Filter: Filter{Filter: filter}, removed: true, settled: make(chan struct{})}
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
// if it were the first, and gives refused filters another chance: one that ended
// connections later, unless this is another address of the list than it was refused
// at. It reports whether a session of ours had existed.
func (t *subscriptions) attach(present bool, at int) (had bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	moved := t.at != at
	t.at = at
	for name, w := range t.wanted {
		w.sent = w.granted && present
		if !w.isSettled() {
			w.until = time.Time{}
		}
		if w.before != nil && !present {
			w.before = w.before.again()
		}
		if (w.refused() && (moved || time.Now().After(w.until))) || (w.granted && !present) {
			t.wanted[name] = w.again()
		}
	}
	t.told = false
	had, t.had = t.had, true
	return had
}

// missing lists what the broker does not have yet, and what it has in vain.
// What is listed is about to be sent.
func (t *subscriptions) missing() (add []*wanted, drop []*wanted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range t.order {
		switch w := t.wanted[name]; {
		case w.removed:
			drop = append(drop, w)
		case !w.granted && !w.refused() && !time.Now().Before(w.until):
			w.sent = true
			add = append(add, w)
		}
	}
	slices.SortStableFunc(add, func(a, b *wanted) int { return cmp.Compare(rank(a), rank(b)) })
	return add, drop
}

// rank puts suspects behind the others, which need not wait for them, and last
// what had no answer.
func rank(w *wanted) int {
	rank := int(w.ignored) << 1
	if w.suspect {
		rank++
	}
	return rank
}

// answer notes what the broker said to one wish: nil is a grant, at this level. It
// reports whether the wish still stood.
func (t *subscriptions) answer(w *wanted, level byte, refusal error) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	name := w.Filter.Filter
	if t.wanted[name] != w {
		return false
	}
	w.granted, w.level = refusal == nil, level
	w.suspect, w.alone, w.weight, w.ignored = false, 0, 0, 0
	w.settle(refusal)
	switch {
	case refusal == nil:
		w.before = nil // or each change would hold all of those before it
	case !w.tentative:
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

// state counts the filters wanted, and says why not every one is granted as it
// is wanted: by the refusals, and when there is none, by the lower levels. News
// are that every filter is granted, at whatever level.
func (t *subscriptions) state() (n int, news bool, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var refused, less []error
	for _, name := range t.order {
		w := t.wanted[name]
		if !w.removed {
			n++
		}
		switch {
		case w.refused():
			refused = append(refused, w.err)
		case w.granted && w.level < w.QoS:
			less = append(less, lessError(name, w.QoS, w.level))
		case !w.removed && !w.granted:
			refused = append(refused, &event.Error{Op: opSubscribe, Topic: name, Reason: event.ReasonNotConnected, Cause: errUnanswered})
		}
	}
	was := t.told
	t.told = len(refused) == 0
	if !t.told {
		return n, false, errors.Join(refused...)
	}
	return n, !was, errors.Join(less...)
}

var errUnanswered = errors.New("the broker has not answered yet")

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
