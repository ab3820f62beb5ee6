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

// has reports whether there is room for a message.
func (r *room) has(size int) bool { return r.count > 0 && r.bytes >= int64(size) }

func (r *room) use(size int) {
	r.count--
	r.bytes -= int64(size)
}

// left is what the queue has room for, as far as the read loop knows: it alone fills
// the queue.
type left struct {
	all  room
	half room // until half of the bounds is used up
}

// take reports whether there is room for a message, and uses it up. From half of the
// bounds on a QoS 0 message has to be looked at: its origin may have its share.
func (l *left) take(qos byte, size int) bool {
	if !l.all.has(size) || qos == 0 && !l.half.has(size) {
		return false
	}
	l.all.use(size)
	l.half.use(size)
	return true
}

// awaited is the connection that reads on when its subscriber's queue has room.
type awaited struct {
	mu   sync.Mutex
	conn session.Resumer // nil is nobody
}

// set makes conn the one, and reports whether nobody was.
func (a *awaited) set(conn session.Resumer) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first = a.conn == nil
	a.conn = conn
	return first
}

func (a *awaited) resume() {
	a.mu.Lock()
	conn := a.conn
	a.conn = nil
	a.mu.Unlock()
	conn.Resume()
}

// vainPause is how long no QoS 0 message waits for room after one has waited without
// success, so that messages that never find room hold up the others for at most a 25th
// of the time.
const vainPause = 500 * time.Millisecond

// Room implements [session.Bounded]. What the queue has room for is asked for
// once and used up message by message, since nobody else fills it: the lock of
// the queue costs nothing while there is room, and up to half of it no message is
// asked for its origin.
func (i *intake) Room(m *session.Inbound, size int, twice bool, again session.Resumer) bool {
	if !twice && i.left.take(m.QoS, size) {
		return true
	}
	if twice {
		i.left = left{}
		all := i.room(size, true)
		return !i.beyond && all.has(size)
	}
	if i.beyond = false; m.QoS == 0 {
		i.Batch() // counts for its origin, too
	}
	all := i.room(size, false)
	if !all.has(size) {
		i.left = left{}
		i.await(size, again)
		return false
	}
	count, bytes := i.at.sched.Shared()
	i.left = left{all, room{all.count - count, all.bytes - bytes}}
	if m.QoS == 0 && !i.left.half.has(size) && i.over(m, size) {
		i.beyond = true
		if i.half.set(again) {
			i.at.batchers.hurry()
			i.at.sched.AwaitHalf(size, i.half.resume)
		}
		return false
	}
	i.left.all.use(size)
	i.left.half.use(size)
	return true
}

// room asks the queue what it has room for, beside what is on the way there.
func (i *intake) room(size int, twice bool) room {
	count, bytes, empty := i.at.sched.Room(twice)
	on := room{i.queued.count + i.apart.count, i.queued.bytes + i.apart.bytes}
	all := room{count - on.count, bytes - on.bytes}
	if all.count > 0 && empty && on.count == 0 {
		all.bytes = max(all.bytes, int64(size)) // larger than the bound, and alone
	}
	return all
}

// over reports whether the origin of a message has its share of the queue, at any of
// the subscriptions that the message is for.
func (i *intake) over(m *session.Inbound, size int) (over bool) {
	first := true
	i.eachTaker(m, func(s *Subscription) {
		origin := i.at.origin(s, m)
		if first {
			i.came.note(origin) // as when it is delivered
			first = false
		}
		over = over || i.at.sched.Over(origin, size)
	})
	return over
}

// eachTaker calls f for the subscriptions that a message is for, guests included, and
// reports whether there are any.
func (i *intake) eachTaker(m *session.Inbound, f func(*Subscription)) (some bool) {
	matched, n := i.at.match(m)
	for _, s := range matched {
		if i.at.takes(s, m) || n == 0 && s.Session != i.at.name && m.Through(s.id) {
			some = true
			f(s)
		}
	}
	return some
}

// await has the connection read on once there is room.
func (i *intake) await(size int, again session.Resumer) {
	if i.awaited.set(again) {
		i.at.batchers.hurry()
		i.at.sched.AwaitRoom(size, i.awaited.resume)
	}
}

// Overflow implements [session.Bounded]. A message whose origin has used its share of
// the queue does not wait while other origins send. After a message has waited without
// success because the queue stayed full, no message waits for a while, so that a flood
// of QoS 0 does not hold up the rest of the session.
func (i *intake) Overflow(m *session.Inbound, waited bool) (dropped bool) {
	now := time.Now()
	switch {
	case waited:
		i.vain = now
	case i.beyond && !i.came.alone(now):
	case now.Sub(i.vain) < vainPause:
	case i.eachTaker(m, func(*Subscription) {}):
		return false
	}
	i.run.client.counts.dropped.Add(1)
	i.run.drops.add(&i.run.drops.full)
	if i.beyond {
		i.tellShare(m, now)
	}
	return true
}

// tellShare names who has his share, once a minute.
func (i *intake) tellShare(m *session.Inbound, now time.Time) {
	if i.sayShare.Due(now) {
		i.run.client.log.Warnf("mqtt: messages of topic %q wait for their handler and have their share of the queue: "+
			"further ones at QoS 0 are dropped and counted (said once a minute)", logsafe.Clip(m.Topic))
	}
}

// IllFormed implements [session.Bounded].
func (i *intake) IllFormed(err error) {
	c := i.run.client
	if n := c.counts.illFormed.Add(1); n == 1 {
		c.log.Warnf("mqtt: a QoS 0 message with ill-formed text is dropped, and further ones are counted: %v", err)
	}
	i.run.drops.add(&i.run.drops.illFormed)
}
