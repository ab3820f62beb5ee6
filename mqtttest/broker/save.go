package broker

import (
	"maps"
	"os"
	"time"
)

// snapshot is the saved state: sessions that outlive their connection, and
// retained messages.
type snapshot struct {
	sessions map[string]*savedSession
	retained map[string]*message
}

type savedSession struct {
	version  byte
	expiry   uint32
	subs     []savedSubscription
	pending  []delivery
	received map[uint16]struct{}
	lastID   uint16
}

type savedSubscription struct {
	request request
	id      uint32
}

// Loss is what a kill lost, and what it brought back.
type Loss struct {
	// Messages that were accepted for a session and not yet acknowledged by its
	// client, and are gone.
	Messages []LostMessage
	// Again counts messages that were acknowledged by their client since the
	// last save, and will be delivered again.
	Again int
	// Sessions, Subscriptions and Retained are gone: those that would have
	// outlived the restart.
	Sessions, Subscriptions, Retained int
}

// LostMessage is one message of one session.
type LostMessage struct {
	ClientID string
	Topic    string
	Payload  []byte
	QoS      byte
}

// lazy reports whether state is saved now and then only.
func (b *Broker) lazy() bool { return b.options.saveEvery > 0 || b.options.saveAfter > 0 }

// changed counts a change of what is saved.
func (b *Broker) changed() {
	if b.changes++; b.options.saveAfter > 0 && b.changes >= b.options.saveAfter {
		b.save()
	}
}

// Save saves the state now, see [SaveEvery]. It must not be called by an
// observer.
func (b *Broker) Save() { b.locked(b.save) }

func (b *Broker) save() {
	b.changes = 0
	if b.lazy() {
		b.counts.Saves++
		b.saved = b.snapshot()
	}
}

func (b *Broker) startSaving() {
	if b.options.saveEvery <= 0 {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(b.options.saveEvery, func() {
		b.locked(func() {
			if b.saver == t {
				b.save()
				b.startSaving()
			}
		})
	})
	b.saver = t
}

func (b *Broker) stopSaving() { stopTimer(&b.saver) }

func (b *Broker) snapshot() *snapshot {
	shot := &snapshot{sessions: make(map[string]*savedSession), retained: maps.Clone(b.retained)}
	for id, s := range b.sessions {
		if s.expiry == 0 {
			continue
		}
		saved := &savedSession{version: s.version, expiry: s.expiry, received: maps.Clone(s.received), lastID: s.out.lastID}
		for _, sub := range s.subs {
			one := savedSubscription{request: sub.request}
			if len(sub.ids) > 0 {
				one.id = sub.ids[0]
			}
			saved.subs = append(saved.subs, one)
		}
		s.out.each(func(d *delivery) { saved.pending = append(saved.pending, *d) })
		shot.sessions[id] = saved
	}
	return shot
}

// restore makes a snapshot the state.
func (b *Broker) restore(shot *snapshot) {
	b.forget()
	for _, m := range shot.retained {
		b.setRetained(m)
	}
	for id, saved := range shot.sessions {
		s := b.newSession(id, saved.version)
		s.expiry, s.received, s.out.lastID = saved.expiry, maps.Clone(saved.received), saved.lastID
		for _, sub := range saved.subs {
			b.join(s, sub.request, sub.id)
		}
		for _, d := range saved.pending {
			again := d
			again.connection = 0
			if d.group != nil {
				again.group = b.groups[d.group.filter]
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

// Kill ends the broker as a crash does: connections are reset, nobody is told,
// no will is published. Sessions are gone, or, if they are kept, as they were
// saved last: without [SaveEvery] and [SaveAfter] as they were. Sessions that
// end with their connection are gone in any case, and not counted as a loss. With
// [WithFile] sessions are as the file has them, which is what was acknowledged,
// and there is nothing to tell of a loss.
// Start starts the broker again. It must not be called by an observer.
func (b *Broker) Kill(keepSessions bool) Loss {
	b.control.Lock()
	defer b.control.Unlock()
	if !b.halt() {
		return Loss{}
	}
	var loss Loss
	b.locked(func() {
		b.stopSaving()
		b.stopSys()
		loss = b.crash(keepSessions)
	})
	b.closeJournal(true)
	b.each((*conn).reset)
	b.thaw()
	b.wg.Wait()
	if b.options.file != "" && !keepSessions {
		_ = os.Remove(b.options.file)
	}
	b.faults.count("kill")
	return loss
}

func (b *Broker) crash(keep bool) Loss {
	b.listen.Lock()
	for c := range b.conns {
		c.dead = true
	}
	b.listen.Unlock()
	for _, s := range b.sessions {
		s.conn, s.will = nil, nil
		s.out.rewind()
	}
	now := b.snapshot()
	then := &snapshot{}
	switch {
	case keep && b.lazy():
		then = b.saved
	case keep:
		then = now
	}
	b.restore(then)
	b.saved = b.snapshot()
	if b.options.file != "" && keep {
		return Loss{}
	}
	return lossOf(now, then)
}

// lossOf compares the state at a kill with what was saved.
func lossOf(now, then *snapshot) (loss Loss) {
	for topic, m := range now.retained {
		if then.retained[topic] != m {
			loss.Retained++
		}
	}
	for id, s := range now.sessions {
		saved := then.sessions[id]
		if saved == nil {
			loss.Sessions++
			saved = &savedSession{}
		}
		loss.compare(id, s, saved)
	}
	for id, saved := range then.sessions {
		if now.sessions[id] == nil {
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
