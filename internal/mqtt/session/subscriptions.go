package session

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// subscriptions is the table of wanted filters and of the QoS that the broker granted
// for each.
type subscriptions struct {
	mu      sync.Mutex
	wanted  map[string]*wanted
	order   []string // filters in the order of first registration
	poke    chan struct{}
	asked   chan chan<- error // requests of Confirm, answered by serve
	had     bool              // the broker had a session of ours before
	told    bool              // it was reported that every filter is granted on this connection
	at      int               // index of the address of the last connection
	pending []*wanted         // in an unanswered SUBSCRIBE
}

// wanted is one requested state of a filter. It is settled once; a change
// creates a new one in its place.
type wanted struct {
	Filter
	tentative bool          // removed when refused
	removed   bool          // to be unsubscribed
	quiet     bool          // no new subscriber needs retained messages
	suspect   bool          // was requested when the broker ended a connection
	alone     uint8         // number of ends at which it was the only suspect
	weight    uint8         // weight of these ends as evidence
	until     time.Time     // convicted or unanswered: not requested again before
	ignored   uint8         // number of missing answers
	settled   chan struct{} // closed when the broker has answered or there is a successor
	err       error         // the refusal, or nil; valid once settled

	// Guarded by the table's mutex.
	sent    bool // requested on this connection: retained messages may have arrived
	granted bool
	level   byte    // the QoS that the broker granted
	before  *wanted // granted before, and restored if this one is refused
	after   *wanted // the successor
}

func (t *subscriptions) init() {
	t.wanted = make(map[string]*wanted)
	t.poke, t.asked = make(chan struct{}, 1), make(chan chan<- error)
}

// add records a request. retain is the retain handling of the new subscriber.
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
		w.tentative = tentative || w.before != nil // after a refusal what was granted remains
		w.quiet = retain == retainNever && w.before != nil
	}
	t.replace(old, w)
	t.signal()
	return w
}

// lower reduces a granted request to the QoS that the remaining subscribers need. It
// returns nil if there is nothing to do.
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

// remove marks a filter to be unsubscribed, or returns nil if it is not wanted.
// With left, a filter that an earlier run may have left at the broker is
// unsubscribed, too.
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

// replace puts w in place of old, which may be nil; callers that wait for old
// then wait for w.
func (t *subscriptions) replace(old, w *wanted) {
	if old == nil {
		t.order = append(t.order, w.Filter.Filter)
	} else {
		old.after = w
		old.settle(nil)
	}
	t.wanted[w.Filter.Filter] = w
}

// successor returns the successor of a settled request, or nil if it was
// answered itself.
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

// attach prepares the table for a new connection and reports whether a session of ours
// had existed. If the broker lost the session, all filters are requested again, and the
// answers count as if they were the first. Refused filters are requested again, too. A
// convicted filter is requested only after its pause, unless it was convicted at
// another address.
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

// missing returns the filters to request and those to unsubscribe, and marks
// them as being sent.
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

// rank orders suspects after the others, which then need not wait for them, and
// unanswered filters last.
func rank(w *wanted) int {
	rank := int(w.ignored) << 1
	if w.suspect {
		rank++
	}
	return rank
}

// answer records the broker's answer to a request: a nil refusal is a grant at
// level. It reports whether the request was still current.
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
		w.before = nil // otherwise each change would keep all previous ones
	case !w.tentative:
	case w.before != nil:
		t.wanted[name] = w.before
	default:
		t.delete(name)
	}
	return true
}

// gone records an UNSUBACK and the broker's refusal, if any.
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

// tally counts the filters by their state.
type tally struct {
	wanted, granted int
	refused         []error // of filters that are not granted
	less            []error // of those that are, at a lower QoS than requested
}

// tally counts the wanted filters. The mutex is held.
func (t *subscriptions) tally() (n tally) {
	for _, name := range t.order {
		w := t.wanted[name]
		if w.removed {
			continue
		}
		n.wanted++
		why := w.problem()
		switch {
		case w.refused() || !w.granted:
			n.refused = append(n.refused, why)
			continue
		case why != nil:
			n.less = append(n.less, why)
		}
		n.granted++
	}
	return n
}

// problem returns why the filter is not granted, or only at a lower QoS, or nil. The table's
// mutex is held.
func (w *wanted) problem() error {
	switch {
	case w.refused():
		return w.err
	case !w.granted:
		return &event.Error{Op: opSubscribe, Topic: w.Filter.Filter, Reason: event.ReasonNotConnected, Cause: errUnanswered}
	case w.level < w.QoS:
		return lessError(w.Filter.Filter, w.QoS, w.level)
	}
	return nil
}

// list returns the wanted filters with what the broker granted, in the order of their
// registration.
func (t *subscriptions) list() []event.FilterHealth {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]event.FilterHealth, 0, len(t.order))
	for _, name := range t.order {
		w := t.wanted[name]
		if w.removed {
			continue
		}
		f := event.FilterHealth{Filter: name, AskedQoS: w.QoS, Granted: w.granted && !w.refused(), Err: w.problem()}
		if f.Granted {
			f.GrantedQoS = w.level
		}
		list = append(list, f)
	}
	return list
}

// state returns the number of wanted filters, and the reason why some are not granted
// as requested: the refusals, or if there are none, the lower QoS levels. news reports
// that every filter is now granted, at its own or a lower QoS.
func (t *subscriptions) state() (wanted int, news bool, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := t.tally()
	was := t.told
	t.told = len(n.refused) == 0
	if !t.told {
		return n.wanted, false, errors.Join(n.refused...)
	}
	return n.wanted, !was, errors.Join(n.less...)
}

var errUnanswered = errors.New("the broker has not answered yet")

// again returns the same request, unanswered. No caller waits for it, so it
// stays after a refusal.
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

// settle wakes the waiting callers. The table's mutex must be held.
func (w *wanted) settle(err error) {
	if !w.isSettled() {
		w.err = err
		close(w.settled)
	}
}
