package client

import (
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// room is a number of messages and their bytes.
type room struct {
	count int
	bytes int64
}

func (r *room) add(size int) {
	r.count++
	r.bytes += int64(size)
}

// has reports whether a message of this size fits.
func (r *room) has(size int) bool { return r.count > 0 && r.bytes >= int64(size) }

func (r *room) use(size int) {
	r.count--
	r.bytes -= int64(size)
}

// remaining is the room in the queue as far as the read loop knows, which alone fills the
// queue.
type remaining struct {
	all  room
	half room // until half of the bounds is used
}

// take reports whether a message fits, and uses up its room. Once half of the queue is
// used, it returns false for QoS 0, so that the share of the message's origin is checked.
func (l *remaining) take(qos byte, size int) bool {
	if !l.all.has(size) || qos == 0 && !l.half.has(size) {
		return false
	}
	l.all.use(size)
	l.half.use(size)
	return true
}

// pausedConn is a connection that resumes reading when its subscriber's queue has room.
type pausedConn struct {
	mu   sync.Mutex
	conn session.Resumer // nil: none is paused
}

// set sets the connection, and reports whether there was none.
func (a *pausedConn) set(conn session.Resumer) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first = a.conn == nil
	a.conn = conn
	return first
}

func (a *pausedConn) resume() {
	a.mu.Lock()
	conn := a.conn
	a.conn = nil
	a.mu.Unlock()
	conn.Resume()
}

// fullWaitPause is how long no QoS 0 message waits for room after one has waited without
// success. So waiting delays other messages for at most a 25th of the time.
const fullWaitPause = 500 * time.Millisecond

// Room implements [session.Bounded]. The free room of the queue is read once and then used
// up message by message, because only the read loop fills the queue: while there is room,
// its lock is not taken, and while less than half is used, no message's origin is looked
// up.
func (i *intake) Room(m *session.Inbound, size int, twice bool, again session.Resumer) bool {
	if !twice && i.remaining.take(m.QoS, size) {
		return true
	}
	if twice {
		i.remaining = remaining{}
		all := i.room(size, true)
		return !i.overShare && all.has(size)
	}
	if i.overShare = false; m.QoS == 0 {
		i.Batch() // so that its origin's share counts the messages on the way
	}
	all := i.room(size, false)
	if !all.has(size) {
		i.remaining = remaining{}
		i.await(size, again)
		return false
	}
	count, bytes := i.at.sched.Shared()
	i.remaining = remaining{all, room{all.count - count, all.bytes - bytes}}
	if m.QoS == 0 && !i.remaining.half.has(size) && i.originOver(m, size) {
		i.overShare = true
		if i.half.set(again) {
			i.at.batchers.hurry()
			i.at.sched.AwaitHalf(size, i.half.resume)
		}
		return false
	}
	i.remaining.all.use(size)
	i.remaining.half.use(size)
	return true
}

// room returns the free room of the queue, without what messages on the way to it will use.
func (i *intake) room(size int, twice bool) room {
	count, bytes, empty := i.at.sched.Room(twice)
	on := room{i.queued.count + i.toBatchers.count, i.queued.bytes + i.toBatchers.bytes}
	all := room{count - on.count, bytes - on.bytes}
	if all.count > 0 && empty && on.count == 0 {
		all.bytes = max(all.bytes, int64(size)) // a message larger than the bound is accepted if it is alone
	}
	return all
}

// originOver reports whether the origin of a message has used up its share of the queue, at
// any of the subscriptions that the message is for.
func (i *intake) originOver(m *session.Inbound, size int) (over bool) {
	first := true
	i.eachTarget(m, func(s *Subscription) {
		origin := i.at.origin(s, m)
		if first {
			i.arrivals.note(origin) // as when it is delivered
			first = false
		}
		over = over || i.at.sched.Over(origin, size)
	})
	return over
}

// eachTarget calls f for the subscriptions that a message is for, those of other sessions
// included, and reports whether there are any.
func (i *intake) eachTarget(m *session.Inbound, f func(*Subscription)) (found bool) {
	matched, n := i.at.match(m)
	for _, s := range matched {
		if i.at.wants(s, m) || n == 0 && s.Session != i.at.name && m.Through(s.id) {
			found = true
			f(s)
		}
	}
	return found
}

// await pauses the connection until the queue has room.
func (i *intake) await(size int, again session.Resumer) {
	if i.paused.set(again) {
		i.at.batchers.hurry()
		i.at.sched.AwaitRoom(size, i.paused.resume)
	}
}

// Overflow implements [session.Bounded]. A message whose origin has used its share of
// the queue does not wait while other origins send. After a message has waited without
// success because the queue stayed full, no message waits for a while, so that a flood
// of QoS 0 does not delay the rest of the session.
func (i *intake) Overflow(m *session.Inbound, waited bool) (dropped bool) {
	now := time.Now()
	switch {
	case waited:
		i.lastFullWait = now
	case i.overShare && !i.arrivals.alone(now):
	case now.Sub(i.lastFullWait) < fullWaitPause:
	case i.eachTarget(m, func(*Subscription) {}):
		return false
	}
	i.run.client.counts.dropped.Add(1)
	i.run.drops.add(&i.run.drops.full)
	i.logDrop(m)
	return true
}

// logDrop logs a dropped message once a minute, and whether its origin has used up its share.
func (i *intake) logDrop(m *session.Inbound) {
	log, topic := i.run.client.log, m.Topic
	if !i.overShare {
		log.Seldom("queue full", func(more []any) {
			log.Warn("mqtt: the queue is full: a QoS 0 message is dropped, and further ones are counted", append(more, logsafe.KeyTopic, topic)...)
		})
		return
	}
	log.Seldom("share of the queue", func(more []any) {
		log.Warn("mqtt: messages of a topic wait for their handler and have used up their share of the queue: further ones at QoS 0 are dropped and counted",
			append(more, logsafe.KeyTopic, topic)...)
	})
}

// IllFormed implements [session.Bounded].
func (i *intake) IllFormed(err error) {
	c := i.run.client
	c.counts.illFormed.Add(1)
	c.log.Seldom("ill-formed text", func(more []any) {
		c.log.Warn("mqtt: a QoS 0 message with ill-formed text is dropped", append(more, logsafe.KeyError, err)...)
	})
	i.run.drops.add(&i.run.drops.illFormed)
}
