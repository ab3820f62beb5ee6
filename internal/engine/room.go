package engine

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
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

// take reports whether there is room for a message, and uses it up.
func (r *room) take(size int) bool {
	if r.count <= 0 || r.bytes < int64(size) {
		return false
	}
	r.count--
	r.bytes -= int64(size)
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

// Room implements [session.Bounded]. What the queue has room for is asked for
// once and used up message by message, since nobody else fills it: the lock of
// the queue costs nothing while there is room.
func (i *intake) Room(size int, twice bool, again session.Resumer) bool {
	if !twice && i.room.take(size) {
		return true
	}
	count, bytes, empty := i.at.sched.Room(twice)
	on := room{i.queued.count + i.apart.count, i.queued.bytes + i.apart.bytes} // the way there
	left := room{count - on.count, bytes - on.bytes}
	if left.count > 0 && empty && on.count == 0 {
		left.bytes = max(left.bytes, int64(size)) // larger than the bound, and alone
	}
	ok := left.take(size)
	switch {
	case twice:
		i.room = room{}
	case ok:
		i.room = left
	default:
		i.room = room{}
		i.await(size, again)
	}
	return ok
}

// await has the connection read on once there is room.
func (i *intake) await(size int, again session.Resumer) {
	if i.awaited.set(again) {
		i.at.batchers.hurry()
		i.at.sched.AwaitRoom(size, i.awaited.resume)
	}
}

// Overflow implements [session.Bounded]: a subscription that dropped a message
// because the queue stayed full drops at once until it gets one again, so that
// a flood of QoS 0 does not hold up the rest of the session.
func (i *intake) Overflow(m *session.Inbound, waited bool) (dropped bool) {
	matched := i.run.client.router.Match(m.Topic)
	if !waited {
		for _, s := range matched {
			if i.at.takes(s, m) && !s.overflows {
				return false
			}
		}
	}
	for _, s := range matched {
		if i.at.takes(s, m) {
			s.overflows = true
		}
	}
	i.run.queueFull(1)
	return true
}

// IllFormed implements [session.Bounded].
func (i *intake) IllFormed(err error) {
	c := i.run.client
	if n := c.counts.illFormed.Add(1); n == 1 {
		c.log.Warnf("mqtt: a QoS 0 message with ill-formed text is dropped, and further ones are counted: %v", err)
	}
	i.run.dropped(0, 0, 1)
}
