package session

import (
	"errors"
	"fmt"
	"time"
)

// A broker may never acknowledge some messages, because what it asks for
// permission hangs, or because it lost them. Each keeps its room in the window
// and its part of the broker's quota for as long as the connection lives, which
// pings keep alive: once they have all of it, nothing else is sent any more. When
// somebody has waited for room and nothing was acknowledged for a while, the
// connection is given up, and with it what nobody waits for; the rest is sent
// again, and given up, too, when that was in vain several times.

// The patience with a full window, in looks at it: with messages that somebody
// waits for, and with such that every caller gave up.
const (
	stuckLook      = time.Second
	stuckLooks     = 10
	abandonedLooks = 3
)

// stuckConnections is on how many connections a message that somebody waits for
// may keep the others from room.
const stuckConnections = 3

var errNoAck = errors.New("no acknowledgement")

// stuck is what was seen of a full window. The mutex of outbound guards it.
type stuck struct {
	timer *time.Timer // to the next look; nil without
	conn  *conn
	ended uint64 // of outbound, at the last look
	looks int    // in a row without an acknowledgement
}

// isStuck reports whether somebody waits for nothing but an acknowledgement.
func (o *outbound) isStuck() bool {
	if o.cur == nil || o.blocked || o.closed != nil {
		return false
	}
	if o.quota <= 0 && o.win.next != none {
		return true
	}
	for _, w := range o.waiters {
		if w.qos > 0 && o.win.full(w.qos, o.qos2Cap) {
			return true
		}
	}
	return false
}

// watch begins to look when somebody has to wait.
func (o *outbound) watch() {
	if o.stuck.timer == nil && o.isStuck() {
		o.stuck.looks = 0
		o.stuck.timer = time.AfterFunc(stuckLook, o.look)
	}
}

func (o *outbound) look() {
	o.mu.Lock()
	s, c := &o.stuck, o.cur
	s.timer = nil
	if !o.isStuck() {
		o.mu.Unlock()
		return
	}
	if s.conn != c || s.ended != o.ended {
		s.conn, s.ended, s.looks = c, o.ended, 0
	}
	s.looks++
	if s.looks < stuckLooks && (s.looks < abandonedLooks || o.awaited()) {
		s.timer = time.AfterFunc(stuckLook, o.look)
		o.mu.Unlock()
		return
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
			o.giveUp(i, &Error{Op: opPublish, Reason: ReasonTimeout, MayHaveBeenSent: true, Cause: err})
		}
		i = next
	}
	return err
}
