package broker

import (
	"strings"
	"sync"
	"time"
)

// core is the state of the broker: sessions, subscriptions, retained messages, and the
// record of changes. It depends on neither listeners nor faults.
type core struct {
	options *options
	traffic traffic

	mu       sync.Mutex // guards all fields below, and the sessions
	counts   Counts
	sessions map[string]*session
	router   router
	cluster  cluster
	retained retained
	record   recorder
	recovery Recovery
	saver    saver
	sys      sys
	began    time.Time // last start, zero while the broker is stopped
	scratch  []byte    // for one PUBLISH to a client
}

func newCore(o *options) *core {
	c := &core{options: o, saver: saver{after: o.saveAfter, every: o.saveEvery}}
	c.retained = retained{max: o.maxRetained, maxBytes: o.maxRetainedBytes}
	c.cluster = cluster{core: c, waiting: make(map[*later]struct{})}
	c.forget()
	c.saver.last = c.snapshot()
	return c
}

func (c *core) locked(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// forget empties the state. The core's mutex is held by the caller, as in the following
// methods.
func (c *core) forget() {
	for _, s := range c.sessions {
		stopTimer(&s.timer)
		stopTimer(&s.willTime)
	}
	c.sessions = make(map[string]*session)
	c.router = newRouter(c.options)
	c.cluster.forget()
	c.retained.clear()
}

// begin starts the periodic work.
func (c *core) begin() {
	c.began = time.Now()
	c.saver.timer.start(c.saver.every, c.locked, c.save)
	c.sys.told = make(map[string]string)
	c.sys.timer.start(c.options.sysEvery, c.locked, c.publishSys)
}

// rest stops the periodic work.
func (c *core) rest() {
	c.saver.timer.stop()
	c.sys.timer.stop()
	c.began = time.Time{}
}

// dismiss detaches all clients from their sessions gracefully, without publishing their
// wills.
func (c *core) dismiss() {
	for _, s := range c.sessions {
		if s.conn == nil {
			continue
		}
		client := s.conn
		s.will = nil
		s.detach(true)
		client.dismiss(reasonShuttingDown)
	}
}

// newSession adds a session under its key, see [cluster.key].
func (c *core) newSession(key string, version byte) *session {
	s := &session{core: c, key: key, id: clientOf(key), version: version, out: newWindow()}
	s.subs = make(map[string]*subscription)
	s.received = make(map[uint16]struct{})
	c.sessions[key] = s
	return s
}

// publish delivers a message to all subscribers, and reports whether there were any.
func (c *core) publish(m *message) bool {
	r := c.router.lookup([]byte(m.topic))
	m.topic = r.topic
	c.counts.Published++
	if m.retain {
		c.retain(m)
	}
	return c.router.deliver(r, m)
}

// retain keeps a message for later subscribers. An empty payload deletes the retained message
// [MQTT-3.3.1-6].
func (c *core) retain(m *message) {
	switch {
	case len(m.payload) == 0:
		c.retained.forget(m.topic)
	case c.retained.fits(m.topic, m.size()):
		c.retained.set(m)
	default:
		c.counts.RetainedFull++
		return
	}
	c.record.retained(m)
	c.changed()
}

// retainedAtOnce is how many retained messages are matched or sent before other clients
// have their turn.
const retainedAtOnce = 10_000

// sendRetained sends the matching retained messages to new subscriptions of a session,
// ordered by topic. It returns true if it stopped before the end, because filters that
// overlap can match far more messages than are retained.
func (c *core) sendRetained(s *session) (more bool) {
	for cost := 0; len(s.unsent) > 0; {
		if cost >= retainedAtOnce {
			return true
		}
		sub := s.unsent[0]
		s.unsent = s.unsent[1:]
		if s.subs[sub.filter] != sub {
			continue
		}
		c.sendSys(sub)
		topics := c.retained.topics(sub.plain)
		for _, topic := range topics {
			m := c.retained.get(topic)
			if m == nil || (sub.noLocal && m.from == s.id) {
				continue
			}
			s.deliver(m, sub, delivery{qos: sub.qos, ids: sub.ids, retain: true})
		}
		if cost += 1 + len(topics); wildcard(sub.plain) {
			cost += len(c.retained.byTopic) / 8
		}
	}
	s.unsent = nil
	return false
}

// sendSys delivers the current values of $SYS to a new subscription, as if they were
// retained.
func (c *core) sendSys(sub *subscription) {
	levels := strings.Split(sub.plain, "/")
	if levels[0] != strings.TrimSuffix(sysPrefix, "/") {
		return
	}
	for _, v := range sysValues(c.stats()) {
		if m := v.message(); matches(levels, m.topic) {
			sub.session.deliver(m, sub, delivery{ids: sub.ids, retain: true})
		}
	}
}

// publishSys publishes the values of $SYS that have changed since the last time, at QoS 0.
func (c *core) publishSys() {
	for _, v := range sysValues(c.stats()) {
		m := v.message()
		if r := c.router.lookup([]byte(m.topic)); !r.empty() && c.sys.news(v) {
			c.router.deliver(r, m)
		}
	}
}
