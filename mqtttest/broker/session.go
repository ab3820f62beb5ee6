package broker

import "time"

// session is what the broker keeps for a client id. The core's mutex guards it.
type session struct {
	core        *core
	key         string // in the core's map, see [cluster.key]
	id          string
	home        int  // node of its present or last connection
	lost        bool // with its node
	version     byte
	conn        *conn  // nil while disconnected
	expiry      uint32 // seconds that it outlives its connection
	timer       *time.Timer
	will        *will
	willTime    *time.Timer
	subs        map[string]*subscription // by filter as written
	filterBytes int                      // of subs, see filterSize
	unsent      []*subscription          // that wait for retained messages, see [core.sendRetained]
	received    map[uint16]struct{}      // QoS 2 of the client, between PUBLISH and PUBREL
	out         window

	number uint64    // in the journal, 0 for none
	left   time.Time // when its last connection ended
}

// deliver queues a message for the client.
func (s *session) deliver(m *message, sub *subscription, d delivery) {
	d.msg, d.qos = m, min(m.qos, d.qos)
	if sub != nil && sub.group != nil {
		d.group = sub.group
	}
	if s.lost {
		s.core.cluster.misrouted(&d)
		return
	}
	if d.qos == 0 {
		if s.conn != nil {
			s.conn.sendPublish(&d, false)
		}
		return
	}
	if s.full(m) {
		s.core.counts.QueueFull++
		return
	}
	s.out.add(&d)
	s.core.record.queued(s, &d)
	s.core.changed()
	s.pump()
}

// full reports whether the queue has no room for a message.
func (s *session) full(m *message) bool {
	o := s.core.options
	if o.maxQueued > 0 && (s.out.open-s.out.inflight >= o.maxQueued || len(s.out.list)-s.out.head >= o.maxQueued+defaultMaximum) {
		return true
	}
	return s.out.open > 0 && s.out.bytes+m.size() > o.maxQueuedBytes
}

// pump sends what the window permits.
func (s *session) pump() {
	for s.conn != nil && !s.conn.dead && s.out.inflight < s.conn.quota {
		d := s.out.peek()
		if d == nil {
			return
		}
		if d.state == queued && !s.sendable(d) {
			continue
		}
		again := d.state == published
		if d.state == queued {
			s.out.identify(d)
			s.out.carry(d, s.conn.number)
			s.core.record.state(d)
		} else {
			s.out.carry(d, s.conn.number)
		}
		if d.state == released {
			s.conn.sendAck(Pubrel, d.id, 0)
		} else {
			s.conn.sendPublish(d, again)
		}
	}
}

// sendable removes a delivery that has expired or is too large for the client [MQTT-3.1.2-25],
// and reports whether it can be sent.
func (s *session) sendable(d *delivery) bool {
	switch {
	case d.msg.expired():
		s.core.counts.Expired++
	case s.conn.tooLarge(d):
		s.core.counts.TooLarge++
	default:
		return true
	}
	s.out.finish(d, s.conn.number)
	s.core.record.state(d)
	return false
}

// acknowledged handles an acknowledgement. One for a message that was not sent on this
// connection is counted and has no effect.
func (s *session) acknowledged(t PacketType, a ack) {
	d := s.out.byID[a.id]
	if d == nil || d.connection != s.conn.number {
		s.core.counts.StrayAcks++
		if t == Pubrec {
			s.conn.sendAck(Pubrel, a.id, reasonIDNotFound)
		}
		return
	}
	switch {
	case t == Puback && d.qos == 1,
		t == Pubrec && d.state == published && a.code >= 0x80,
		t == Pubcomp && d.state == released:
		s.out.finish(d, s.conn.number)
		s.core.record.state(d)
		s.core.changed()
		s.pump()
	case t == Pubrec && d.qos == 2:
		d.state = released
		s.core.record.state(d)
		s.core.changed()
		s.conn.sendAck(Pubrel, a.id, 0)
	default:
		s.core.counts.StrayAcks++
	}
}

// subscribe adds or replaces a subscription and reports whether it is new.
func (s *session) subscribe(r request, id uint32) (sub *subscription, fresh bool) {
	old := s.subs[r.filter]
	sub = &subscription{request: r, session: s}
	if id != 0 {
		sub.ids = []uint32{id}
	}
	s.core.cluster.spread(old, sub)
	s.core.router.join(old, sub)
	if s.subs[r.filter] = sub; old == nil {
		s.filterBytes += filterSize(r.filter)
	}
	s.core.record.subscribed(sub)
	s.core.changed()
	return sub, old == nil
}

func (s *session) unsubscribe(sub *subscription) {
	s.core.router.leave(sub)
	delete(s.subs, sub.filter)
	s.filterBytes -= filterSize(sub.filter)
	s.core.record.unsubscribed(sub)
	s.core.changed()
}

// attach connects the session to a connection.
func (s *session) attach(c *conn) {
	stopTimer(&s.timer)
	stopTimer(&s.willTime)
	s.conn, s.version, s.will, s.home = c, c.version, c.connect.will, c.via.node
	s.expiry = c.connect.expiry
	c.session = s
	s.out.rewind()
	s.core.record.session(s)
}

// detach removes the connection; polite is set after a DISCONNECT of the client.
func (s *session) detach(polite bool) {
	s.conn.dead = true
	s.conn, s.left = nil, time.Now()
	s.out.rewind()
	if s.expiry != 0 {
		s.core.record.session(s)
	}
	w := s.will
	if polite {
		s.will, w = nil, nil
	}
	switch {
	case s.expiry == 0:
		s.end()
	case w != nil && w.delay > 0:
		s.willTime = time.AfterFunc(w.delay, func() { s.core.locked(func() { s.testament(w) }) })
	default:
		s.testament(w)
	}
	if s.expiry != 0 && s.expiry != forever {
		s.startExpiry(time.Duration(s.expiry) * time.Second)
	}
}

func (s *session) startExpiry(after time.Duration) {
	var t *time.Timer
	t = time.AfterFunc(after, func() {
		s.core.locked(func() {
			if s.timer == t {
				s.end()
			}
		})
	})
	s.timer = t
}

// testament publishes the will, unless the session has another one by now.
func (s *session) testament(w *will) {
	if w == nil || s.will != w {
		return
	}
	s.will = nil
	if isSys([]byte(w.message.topic)) {
		return
	}
	m := *w.message
	m.node = s.home
	if m.expiry > 0 {
		m.expires = time.Now().Add(time.Duration(m.expiry) * time.Second)
	}
	s.core.publish(&m)
}

// end deletes the session: its will is published [MQTT-3.1.3-9], and messages of shared groups
// go to another member.
func (s *session) end() {
	stopTimer(&s.timer)
	stopTimer(&s.willTime)
	if s.core.sessions[s.key] == s {
		delete(s.core.sessions, s.key)
	}
	s.core.record.ended(s)
	for _, sub := range s.subs {
		s.unsubscribe(sub)
	}
	s.testament(s.will)
	s.core.changed()
	s.out.each(func(d *delivery) {
		if !s.handOver(d) {
			s.core.counts.EndedWithSession++
		}
	})
}

// handOver delivers a message that the client has not acknowledged to another member of the
// shared group that it came through, and reports whether there is one.
func (s *session) handOver(d *delivery) bool {
	if s.core.options.stay {
		return false
	}
	sub := d.successor(s.home)
	if sub == nil {
		return false
	}
	s.core.counts.HandedOver++
	sub.session.deliver(d.msg, sub, delivery{qos: sub.qos, ids: sub.ids, retain: d.retain})
	return true
}
