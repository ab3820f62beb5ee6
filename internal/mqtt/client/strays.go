package client

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// DefaultUnmatchedGrace is that of [Config.UnmatchedGrace].
const DefaultUnmatchedGrace = 10 * time.Second

// graceLimit is for how many graces a message is kept at most while new
// registrations extend the grace: nothing behind it can be acknowledged.
const graceLimit = 3

// maxTakenBack bounds how many filters are known to have been taken back.
const maxTakenBack = 1024

var errNoSubscription = errors.New("no subscription")

// strays are the QoS 1 and 2 messages of a session that no subscription matched
// when they arrived. The broker kept them for a filter that it has and this
// process does not have yet: they stay unacknowledged for a while, find their
// handler when it is registered, and become dead letters otherwise.
//
// The mutex is taken before that of the client, so that nothing overtakes a kept
// message on the way to a handler that is just being registered.
type strays struct {
	strayWays
	some atomic.Bool // there may be kept messages; only the read loop sets it

	mu        sync.Mutex
	kept      []stray // oldest first
	bytes     int64
	until     time.Time // end of the grace
	timer     *time.Timer
	closed    bool
	takenBack []takenBack         // oldest first
	gone      *topic.Trie[uint32] // filters without a handler to come; nil are none
	told      bool                // that a message came for one of those
}

// strayWays is where strays come from and go to.
type strayWays struct {
	cfg      *Config
	clientID string // of the client's subscriber
	session  string // client id of the session
	log      Logger
	counts   *counts
	drops    *drops
	sched    *delivery.Scheduler
	lane     *delivery.Lane
	letters  *delivery.Attempts[*Delivery] // makes dead letters of them
	// matches reports whether a subscription takes a message; hand passes it to those
	// that do.
	matches func(m *session.Inbound) bool
	hand    func(m *session.Inbound)
}

// stray is one kept message.
type stray struct {
	*session.Inbound
	since time.Time
}

// takenBack is a filter whose last handler was taken back while running: the
// application wants no more of it, but the broker may still have some on its way.
type takenBack struct {
	filter string // without $share and group
	id     uint32
}

// begin begins the grace anew: there is a connection, or a registration.
func (t *strays) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.extend()
}

func (t *strays) extend() { t.until = time.Now().Add(t.grace()) }

func (t *strays) grace() time.Duration {
	if g := t.cfg.UnmatchedGrace; g != nil {
		return *g
	}
	return DefaultUnmatchedGrace
}

// take takes a message that nothing matched, on the read loop. The mutex is not
// held; what is registered meanwhile is seen by one of the two.
func (t *strays) take(m *session.Inbound) (found bool) {
	t.mu.Lock()
	t.some.Store(true)
	if t.matches(m) { // registered a moment ago
		t.some.Store(len(t.kept) > 0)
		t.mu.Unlock()
		return true
	}
	now := time.Now()
	if t.closed { // as what arrives during Stop
		t.mu.Unlock()
		return false
	}
	if t.unwanted(m) || m.QoS == 0 {
		t.some.Store(len(t.kept) > 0)
		t.mu.Unlock()
		t.drop(m)
		return false
	}
	if gone := t.isGone(m); gone || m.IllFormed() != nil {
		// No handler is to come, and others wait behind the acknowledgement.
		first := gone && !t.told
		t.told = t.told || gone
		t.some.Store(len(t.kept) > 0)
		t.mu.Unlock()
		if first {
			t.tellGone(m)
		}
		t.settle([]stray{{m, now}})
		return false
	}
	m.Own()
	t.kept = append(t.kept, stray{m, now})
	t.bytes += int64(m.Size)
	over := t.due(now)
	t.arm(now)
	t.mu.Unlock()
	t.tellKept(m, t.grace())
	t.settle(over)
	return false
}

// rematch is adopt for a registration on another session.
func (t *strays) rematch() {
	if !t.some.Load() {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.adopt()
}

// adopt hands the kept messages over that have found a handler, in the order of
// their arrival. The mutex is held.
func (t *strays) adopt() {
	t.extend()
	t.kept = slices.DeleteFunc(t.kept, func(s stray) bool {
		if !t.matches(s.Inbound) {
			return false
		}
		t.bytes -= int64(s.Size)
		t.hand(s.Inbound)
		return true
	})
	t.some.Store(len(t.kept) > 0)
	t.arm(time.Now())
}

// end is how long a message is kept. The mutex is held.
func (t *strays) end(s stray) time.Time {
	if last := s.since.Add(graceLimit * t.grace()); last.Before(t.until) {
		return last
	}
	return t.until
}

// due takes the messages out that are not kept any longer: their time is up, or
// they are the oldest of too many. The mutex is held.
func (t *strays) due(now time.Time) (over []stray) {
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
	t.some.Store(len(t.kept) > 0)
	return over
}

// arm sets the timer for the oldest message. The mutex is held.
func (t *strays) arm(now time.Time) {
	if t.timer != nil || len(t.kept) == 0 || t.closed {
		return
	}
	t.timer = time.AfterFunc(t.end(t.kept[0]).Sub(now), t.expire)
}

// expire is the timer's. The grace may have been extended meanwhile.
func (t *strays) expire() {
	t.mu.Lock()
	t.timer = nil
	now := time.Now()
	var over []stray
	if !t.closed {
		over = t.due(now)
		t.arm(now)
	}
	t.mu.Unlock()
	t.settle(over)
}

// close forgets what is kept: it stays unacknowledged, for the broker to deliver
// again.
func (t *strays) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed, t.kept, t.bytes = true, nil, 0
	t.some.Store(false)
	if t.timer != nil {
		t.timer.Stop()
	}
}

func (t *strays) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.kept)
}

// forget notes that a filter was taken back. The mutex is held, or nobody else
// has the session yet.
func (t *strays) forget(filter string) {
	_, inner, _, err := topic.ParseShared(filter)
	if err != nil {
		return // it was never registered
	}
	if len(t.takenBack) >= maxTakenBack {
		t.takenBack = slices.Delete(t.takenBack, 0, 1)
	}
	t.takenBack = append(t.takenBack, takenBack{inner, session.FilterID(filter)})
}

// remember notes that a filter is wanted again. The mutex is held.
func (t *strays) remember(s *Subscription) {
	t.takenBack = slices.DeleteFunc(t.takenBack, func(b takenBack) bool { return b.id == s.id })
}

// unwanted reports whether a message belongs to a filter that was taken back, or
// is a reply to a request of an earlier process. The mutex is held.
func (t *strays) unwanted(m *session.Inbound) bool {
	return isReply(t.clientID, m.Topic) || slices.ContainsFunc(t.takenBack, func(b takenBack) bool {
		return m.Through(b.id) && topic.Match(b.filter, m.Topic)
	})
}
