package broker

import (
	"maps"
	"time"
)

// snapshot is the saved state: sessions that outlive their connection, and retained messages.
type snapshot struct {
	sessions map[string]*savedSession
	retained map[string]*message
}

type savedSession struct {
	version  byte
	expiry   uint32
	home     int
	subs     []savedSubscription
	pending  []delivery
	received map[uint16]struct{}
	lastID   uint16
}

type savedSubscription struct {
	request request
	id      uint32
}

// Loss is what a kill lost, and what will be repeated.
type Loss struct {
	// Messages are lost messages: accepted for a session, but not acknowledged by its client.
	Messages []LostMessage
	// Again counts messages that clients acknowledged after the last save, and that will be
	// delivered again.
	Again int
	// Sessions, Subscriptions and Retained are the numbers of lost ones that would have
	// survived a restart.
	Sessions, Subscriptions, Retained int
}

// LostMessage is a lost message of one session.
type LostMessage struct {
	ClientID string
	Topic    string
	Payload  []byte
	QoS      byte
}

// saver determines when the state is saved, and has the saved state. The core's mutex
// guards it.
type saver struct {
	every time.Duration
	after int // number of changes

	timer   repeat
	changes int // since the last save
	last    *snapshot
}

// lazy reports whether state is saved only periodically.
func (s *saver) lazy() bool { return s.every > 0 || s.after > 0 }

// due counts a change of the saved state and reports whether to save now.
func (s *saver) due() bool {
	s.changes++
	return s.after > 0 && s.changes >= s.after
}

// changed counts a change of the saved state.
func (c *core) changed() {
	if c.saver.due() {
		c.save()
	}
}

func (c *core) save() {
	c.saver.changes = 0
	if c.saver.lazy() {
		c.counts.Saves++
		c.saver.last = c.snapshot()
	}
}

func (c *core) snapshot() *snapshot {
	shot := &snapshot{sessions: make(map[string]*savedSession), retained: maps.Clone(c.retained.byTopic)}
	for key, s := range c.sessions {
		if s.expiry == 0 {
			continue
		}
		saved := &savedSession{version: s.version, expiry: s.expiry, home: s.home, received: maps.Clone(s.received), lastID: s.out.lastID}
		for _, sub := range s.subs {
			one := savedSubscription{request: sub.request}
			if len(sub.ids) > 0 {
				one.id = sub.ids[0]
			}
			saved.subs = append(saved.subs, one)
		}
		s.out.each(func(d *delivery) { saved.pending = append(saved.pending, *d) })
		shot.sessions[key] = saved
	}
	return shot
}

// restore replaces the state by a snapshot.
func (c *core) restore(shot *snapshot) {
	c.forget()
	for _, m := range shot.retained {
		c.retained.set(m)
	}
	for key, saved := range shot.sessions {
		s := c.newSession(key, saved.version)
		s.home, s.expiry, s.received, s.out.lastID = saved.home, saved.expiry, maps.Clone(saved.received), saved.lastID
		for _, sub := range saved.subs {
			s.subscribe(sub.request, sub.id)
		}
		for _, d := range saved.pending {
			again := d
			again.connection = 0
			if d.group != nil {
				again.group = c.router.groups[d.group.filter]
			}
			if again.state != queued {
				s.out.byID[again.id] = &again
			}
			s.out.add(&again)
		}
		if s.expiry != forever {
			s.startExpiry(time.Duration(s.expiry) * time.Second)
		}
	}
}

// crash restores the saved state, once no connection is served any more.
func (c *core) crash(keep bool) Loss {
	for _, s := range c.sessions {
		s.conn, s.will = nil, nil
		s.out.rewind()
	}
	now := c.snapshot()
	then := &snapshot{}
	switch {
	case keep && c.saver.lazy():
		then = c.saver.last
	case keep:
		then = now
	}
	c.restore(then)
	c.saver.last = c.snapshot()
	if c.options.file != "" && keep {
		return Loss{}
	}
	return lossOf(now, then)
}

// lossOf compares the state at a kill with the saved state.
func lossOf(now, then *snapshot) (loss Loss) {
	for topic, m := range now.retained {
		if then.retained[topic] != m {
			loss.Retained++
		}
	}
	for key, s := range now.sessions {
		saved := then.sessions[key]
		if saved == nil {
			loss.Sessions++
			saved = &savedSession{}
		}
		loss.compare(clientOf(key), s, saved)
	}
	for key, saved := range then.sessions {
		if now.sessions[key] == nil {
			loss.Again += len(saved.pending)
		}
	}
	return loss
}

func (l *Loss) compare(id string, now, then *savedSession) {
	filters := make(map[string]bool)
	for _, sub := range then.subs {
		filters[sub.request.filter] = true
	}
	for _, sub := range now.subs {
		if !filters[sub.request.filter] {
			l.Subscriptions++
		}
	}
	saved := make(map[*message]bool)
	for _, d := range then.pending {
		saved[d.msg] = true
	}
	for _, d := range now.pending {
		if !saved[d.msg] {
			l.Messages = append(l.Messages, LostMessage{id, d.msg.topic, d.msg.payload, d.qos})
		}
		delete(saved, d.msg)
	}
	l.Again += len(saved)
}
