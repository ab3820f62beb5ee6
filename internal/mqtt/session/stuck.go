package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// A broker may never acknowledge some messages, because what it asks for
// permission hangs, or because it lost them. Each keeps its room in the window
// and its part of the broker's quota for as long as the connection lives, which
// pings keep alive: once they have all of it, nothing else is sent any more. When
// somebody has waited for room and nothing was acknowledged for a while, the
// connection is given up, and with it what nobody waits for; the rest is sent
// again, and given up, too, when that was in vain several times. What an outbox keeps
// does not wait for that: see owing.go.

// The patience with a full window, in looks at it: with messages that somebody
// waits for, and with such that every caller gave up. With the former it is longer
// on the connection after one that was given up, and where acknowledgements were
// seen to take longer: a broker may be no more than slow, and would be slow again.
const (
	stuckLook      = time.Second
	stuckLooks     = 10
	abandonedLooks = 3
	slowness       = 2  // times what was seen is waited for
	longestLooks   = 60 // at most
)

// stuckConnections is on how many connections a message that somebody waits for
// may keep the others from room.
const stuckConnections = 2

var errNoAck = errors.New("no acknowledgement")

// stuck is what was seen of a full window. The mutex of outbound guards it.
type stuck struct {
	timer *time.Timer // to the next look; nil without
	conn  *conn
	qos   byte   // of who began to wait for room
	ended uint64 // of outbound, at the last look
	looks int    // in a row without an acknowledgement
	slow  int    // looks to wait for because the broker may be slow
}

// progress notes that the broker acknowledged something, on this connection.
func (s *stuck) progress(c *conn, ended uint64) {
	if s.conn == c {
		s.slow = min(slowness*s.looks, longestLooks)
	}
	s.conn, s.ended, s.looks = c, ended, 0
}

// isStuck reports whether somebody waits for nothing but an acknowledgement, and
// at which QoS.
func (o *outbound) isStuck() (qos byte, ok bool) {
	if o.cur == nil || o.blocked || o.closed != nil {
		return 0, false
	}
	if o.quota <= 0 && o.win.next != none {
		return 1, true
	}
	for _, w := range o.waiters {
		if w.qos > 0 && o.win.full(w.qos, o.qos2Cap) {
			return w.qos, true
		}
	}
	return 0, false
}

// isFull reports whether who came would have to wait for an acknowledgement.
func (o *outbound) isFull(qos byte) bool {
	return o.cur != nil && !o.blocked && o.closed == nil && (o.quota <= 0 || o.win.full(qos, o.qos2Cap))
}

// watch begins to look when somebody has to wait.
func (o *outbound) watch() {
	if o.stuck.timer != nil {
		return
	}
	if qos, ok := o.isStuck(); ok {
		o.stuck.qos, o.stuck.looks = qos, 0
		o.stuck.timer = time.AfterFunc(stuckLook, o.look)
	}
}

// look goes on as long as there is no room, also when nobody waits for it in this
// moment: callers with short deadlines that come now and then are to find some.
func (o *outbound) look() {
	o.mu.Lock()
	s, c := &o.stuck, o.cur
	s.timer = nil
	if c != nil && (s.conn != c || s.ended != o.ended) {
		s.progress(c, o.ended)
	}
	if !o.isFull(s.qos) {
		o.watch()
		o.mu.Unlock()
		return
	}
	s.looks++
	awaited := o.awaited()
	if s.looks < abandonedLooks || awaited && s.looks < max(stuckLooks, s.slow) {
		s.timer = time.AfterFunc(stuckLook, o.look)
		o.mu.Unlock()
		return
	}
	if awaited {
		s.slow = max(s.slow, slowness*stuckLooks)
	}
	err := o.endIgnored(time.Duration(s.looks) * stuckLook)
	o.mu.Unlock()
	o.tell()
	c.abort(err)
}

// awaited reports whether somebody waits for one of the messages on the wire.
func (o *outbound) awaited() bool {
	for i := o.win.head; i != none && o.win.slots[i].charged; i = o.win.slots[i].next {
		if !o.win.slots[i].left {
			return true
		}
	}
	return false
}

// endIgnored ends the exchanges that are not worth another connection, and returns
// why this one ends.
func (o *outbound) endIgnored(after time.Duration) error {
	crowd := o.inFlight()
	err := fmt.Errorf("%w for %v of any of %d messages, the first to %q", errNoAck, after, crowd.n, shorten(crowd.first))
	for i := o.win.head; i != none && o.win.slots[i].charged; {
		sl := &o.win.slots[i]
		next := sl.next
		if sl.ignored++; sl.left || sl.ignored >= stuckConnections {
			o.giveUp(i, &event.Error{Op: opPublish, Reason: event.ReasonTimeout, MayHaveBeenSent: true, Cause: err})
		}
		i = next
	}
	return err
}
