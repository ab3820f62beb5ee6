package client

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// DefaultUnmatchedGrace is the default of [Config.UnmatchedGrace].
const DefaultUnmatchedGrace = 10 * time.Second

// graceLimit is the maximum time, as a multiple of the grace, that a message is kept while
// new registrations extend the grace: no later message can be acknowledged meanwhile.
const graceLimit = 3

// maxRemovedFilters bounds how many removed filters are remembered.
const maxRemovedFilters = 1024

var errNoSubscription = errors.New("no subscription")

// unmatched has the QoS 1 and 2 messages of a session that no subscription matched when
// they arrived. The broker sent them for a filter that its session has and that this
// process has not registered yet. They stay unacknowledged for a while, are delivered when
// a matching handler is registered, and become dead letters otherwise.
//
// Its mutex is taken before that of the client, so that no new message overtakes a kept one
// on the way to a handler that is being registered.
type unmatched struct {
	unmatchedDeps
	maybeKept atomic.Bool // false if no messages are kept; only the read loop sets it to true

	mu               sync.Mutex
	kept             []unmatchedMessage // oldest first
	bytes            int64
	graceEnd         time.Time // end of the grace
	timer            *time.Timer
	closed           bool
	removed          []removedFilter     // oldest first
	unexpected       *topic.Trie[uint32] // filters without an expected handler; nil means none
	lastUnexpected   time.Time           // when the last message for one of those arrived
	unexpectedLogged bool                // a message for one of those was logged
}

// unmatchedDeps are the values that unmatched depends on.
type unmatchedDeps struct {
	cfg      *Config
	clientID string // of the client's subscriber
	session  string // client id of the session
	log      logsafe.Log
	counts   *counts
	drops    *drops
	sched    *delivery.Scheduler
	lane     *delivery.Lane
	letters  *delivery.Attempts[*Delivery] // stores dead letters
	// matches reports whether a subscription takes a message; deliver passes it to those
	// that do.
	matches func(m *session.Inbound) bool
	deliver func(m *session.Inbound)
}

// unmatchedMessage is one kept message.
type unmatchedMessage struct {
	*session.Inbound
	since time.Time
}

// removedFilter is a filter whose last handler was removed while running: its messages are
// no longer wanted, but the broker may still send some.
type removedFilter struct {
	filter string // without $share and group
	id     uint32
}

// begin restarts the grace after a connection or a registration.
func (t *unmatched) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.extend()
}

func (t *unmatched) extend() { t.graceEnd = time.Now().Add(t.grace()) }

func (t *unmatched) grace() time.Duration {
	if g := t.cfg.UnmatchedGrace; g != nil {
		return *g
	}
	return DefaultUnmatchedGrace
}

// add keeps a message that nothing matched, or reports that a subscription matches it by
// now. It runs on the read loop, without the mutex: a subscription that is registered
// meanwhile is noticed here or by deliverMatched.
func (t *unmatched) add(m *session.Inbound) (found bool) {
	t.mu.Lock()
	t.maybeKept.Store(true)
	if t.matches(m) { // registered a moment ago
		t.maybeKept.Store(len(t.kept) > 0)
		t.mu.Unlock()
		return true
	}
	now := time.Now()
	if t.closed { // like messages that arrive during Stop
		t.mu.Unlock()
		return false
	}
	if t.unwanted(m) || m.QoS == 0 {
		t.maybeKept.Store(len(t.kept) > 0)
		t.mu.Unlock()
		t.drop(m)
		return false
	}
	if gone := t.isUnexpected(m); gone || m.IllFormed() != nil {
		// No handler is expected, and later messages wait for this acknowledgement.
		first := gone && !t.unexpectedLogged
		t.unexpectedLogged = t.unexpectedLogged || gone
		if gone {
			t.lastUnexpected = now
		}
		t.maybeKept.Store(len(t.kept) > 0)
		t.mu.Unlock()
		if first {
			t.logUnexpected(m)
		}
		t.settle([]unmatchedMessage{{m, now}})
		return false
	}
	m.Own()
	t.kept = append(t.kept, unmatchedMessage{m, now})
	t.bytes += int64(m.Size)
	over := t.due(now)
	t.arm(now)
	t.mu.Unlock()
	t.logKept(m, t.grace())
	t.settle(over)
	return false
}

// rematch delivers kept messages after a registration on another session.
func (t *unmatched) rematch() {
	if !t.maybeKept.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.deliverMatched()
}

// deliverMatched delivers the kept messages that match a subscription by now, in the order
// of arrival. The mutex is held.
func (t *unmatched) deliverMatched() {
	t.extend()
	t.kept = slices.DeleteFunc(t.kept, func(s unmatchedMessage) bool {
		if !t.matches(s.Inbound) {
			return false
		}
		t.bytes -= int64(s.Size)
		t.deliver(s.Inbound)
		return true
	})
	t.maybeKept.Store(len(t.kept) > 0)
	t.arm(time.Now())
}

// end returns until when a message is kept. The mutex is held.
func (t *unmatched) end(s unmatchedMessage) time.Time {
	if last := s.since.Add(graceLimit * t.grace()); last.Before(t.graceEnd) {
		return last
	}
	return t.graceEnd
}

// due removes and returns the messages that are no longer kept: their time is up, or they
// are the oldest of too many. The mutex is held.
func (t *unmatched) due(now time.Time) (over []unmatchedMessage) {
	c := t.cfg
	n := 0
	for ; n < len(t.kept); n++ {
		s := t.kept[n]
		if t.end(s).After(now) && len(t.kept)-n <= c.Queue && t.bytes <= c.QueueBytes {
			break
		}
		t.bytes -= int64(s.Size)
	}
	over = slices.Clone(t.kept[:n])
	t.kept = slices.Delete(t.kept, 0, n)
	t.maybeKept.Store(len(t.kept) > 0)
	return over
}

// arm sets the timer for the oldest message. The mutex is held.
func (t *unmatched) arm(now time.Time) {
	if t.timer != nil || len(t.kept) == 0 || t.closed {
		return
	}
	t.timer = time.AfterFunc(t.end(t.kept[0]).Sub(now), t.expire)
}

// expire is called by the timer. The grace may have been extended meanwhile.
func (t *unmatched) expire() {
	t.mu.Lock()
	t.timer = nil
	now := time.Now()
	var over []unmatchedMessage
	if !t.closed {
		over = t.due(now)
		t.arm(now)
	}
	t.mu.Unlock()
	t.settle(over)
}

// close drops the kept messages from memory. They stay unacknowledged, and the broker
// delivers them again.
func (t *unmatched) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed, t.kept, t.bytes = true, nil, 0
	t.maybeKept.Store(false)
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *unmatched) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.kept)
}

// filterRemoved notes that the last handler of a filter was removed. The mutex is held, or
// the session is not used yet.
func (t *unmatched) filterRemoved(filter string) {
	_, inner, _, err := topic.ParseShared(filter)
	if err != nil {
		return // it was never registered
	}
	if len(t.removed) >= maxRemovedFilters {
		t.removed = slices.Delete(t.removed, 0, 1)
	}
	t.removed = append(t.removed, removedFilter{inner, session.FilterID(filter)})
}

// filterWanted notes that a filter has a handler again. The mutex is held.
func (t *unmatched) filterWanted(s *Subscription) {
	t.removed = slices.DeleteFunc(t.removed, func(b removedFilter) bool { return b.id == s.id })
}

// unwanted reports whether a message belongs to a removed filter, or is a reply to a
// request of an earlier process. The mutex is held.
func (t *unmatched) unwanted(m *session.Inbound) bool {
	return isReply(t.clientID, m.Topic) || slices.ContainsFunc(t.removed, func(b removedFilter) bool {
		return m.Through(b.id) && topic.Match(b.filter, m.Topic)
	})
}
