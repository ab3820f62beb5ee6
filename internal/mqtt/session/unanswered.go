package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
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
	err := fmt.Errorf("%w for %v of any of %d messages, the first to %q", errNoAck, after, crowd.n, logsafe.Clip(crowd.first))
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

// A message of an outbox that the broker does not acknowledge needs not wait in the
// window until that is full and the connection is given up, as stuck.go has it: it is
// kept elsewhere and sent again later. It is given up once the broker has answered a
// PINGREQ that was sent well after it, which a broker that is only slow answers late,
// too. Its room in the window is free at once. Its packet id is not, and neither is
// its part of the broker's quota, before a late acknowledgement or the end of the
// connection.

// The age, in looks, at which a PINGREQ is to show that the broker is alive. A
// message that is acknowledged after it was given up makes it twice that one's, and so
// does the end of a connection that is full of what was given up and on which nothing
// was acknowledged: the broker may be slow with all of it, and had no time to show
// that. Each new connection makes it half of that again.
const (
	owingLook   = time.Second
	askLooks    = 2
	maxAskLooks = 32
)

// maxOwed is how many messages one connection may owe an answer for, where the
// broker's Receive Maximum is not less than twice that. Then a new one is made.
const maxOwed = 1024

// owing are the messages of an outbox that wait for their acknowledgement. The
// mutex of outbound guards it.
type owing struct {
	timer *time.Timer // to the next look; nil without
	asked *conn       // that a PINGREQ of ours is under way on
	ask   uint8       // the age, in looks, to ask at
	began uint64      // ended of outbound, when the connection began
	owed  map[uint16]owed
}

// owed is an acknowledgement that the broker owes.
type owed struct{ qos, looks uint8 }

// watchKept begins to look when a message of an outbox is on its way.
func (o *outbound) watchKept() {
	if o.owing.timer == nil && o.closed == nil {
		o.owing.timer = time.AfterFunc(owingLook, o.lookAtKept)
	}
}

// lookAtKept gives up what is not answered, and asks for a sign of life.
func (o *outbound) lookAtKept() {
	o.mu.Lock()
	u, c := &o.owing, o.cur
	u.timer = nil
	if c == nil || o.closed != nil { // the next connection carries them again
		o.mu.Unlock()
		return
	}
	kept, ask := false, false
	for i := o.win.head; i != none && o.win.slots[i].charged; {
		sl := &o.win.slots[i]
		next := sl.next
		switch {
		case !sl.kept || o.win.rounds < leastRounds: // there is no other id to go on with
		case sl.outlived:
			o.owe(i)
		default:
			kept = true
			sl.looks = min(sl.looks+1, maxAskLooks)
			ask = ask || sl.looks >= max(u.ask, askLooks)
		}
		i = next
	}
	if kept {
		o.watchKept()
	}
	if ask && u.asked != c && !o.proving {
		o.askAlive(c)
	}
	var err error
	if n := len(u.owed); n >= maxOwed || n > 0 && n >= o.receive/2 {
		err = fmt.Errorf("%w of %d messages", errNoAck, n)
		if u.began == o.ended {
			u.wait()
		}
	}
	o.pump()
	o.wake()
	o.mu.Unlock()
	o.tell()
	if err != nil {
		c.abort(err)
		return
	}
	c.link.Wake()
}

// askAlive sends a PINGREQ after what is on its way.
func (o *outbound) askAlive(c *conn) {
	o.owing.asked = c
	for i := o.win.head; i != none && o.win.slots[i].charged; i = o.win.slots[i].next {
		o.win.slots[i].asked = true
	}
	c.link.Ping(func() { o.alive(c) })
}

// alive notes that the broker answered a PINGREQ: what was sent before that and is
// old enough is given up at the next look. It is called by the read loop.
func (o *outbound) alive(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	u := &o.owing
	if u.asked != c {
		return
	}
	u.asked = nil
	for i := o.win.head; i != none && o.win.slots[i].charged; i = o.win.slots[i].next {
		sl := &o.win.slots[i]
		sl.outlived = sl.kept && sl.asked && sl.looks >= max(u.ask, askLooks)
		sl.asked = false
	}
}

// owe ends the exchange of a message that the broker did not answer.
func (o *outbound) owe(i int32) {
	sl := &o.win.slots[i]
	u := &o.owing
	if u.owed == nil {
		u.owed = make(map[uint16]owed)
	}
	u.owed[sl.id] = owed{sl.qos, sl.looks}
	o.win.retire(sl.id)
	sl.charged = false // the quota is not given back
	after := time.Duration(sl.looks) * owingLook
	o.finish(i, &event.Error{
		Op: opPublish, Reason: event.ReasonTimeout, MayHaveBeenSent: true,
		Cause: fmt.Errorf("%w for %v from a broker that answers a PINGREQ", errNoAck, after),
	})
}

// answered takes an acknowledgement of a message that was given up. The mutex of
// outbound is held.
func (o *outbound) answered(c *conn, a *wire.Ack) {
	was, owes := o.owing.owed[a.PacketID]
	if !owes {
		return
	}
	o.owing.ask = max(o.owing.ask, min(2*was.looks, maxAskLooks))
	if a.Type == wire.TypePubrec && a.Reason < codeFailed {
		return // PUBCOMP ends it
	}
	delete(o.owing.owed, a.PacketID)
	delete(o.win.retired, a.PacketID)
	o.quota++
	o.pump()
	o.wake()
	c.wake = true
}

// wait makes the age on the next connection twice that of what was given up.
func (u *owing) wait() {
	for _, was := range u.owed {
		u.ask = max(u.ask, min(4*was.looks, 2*maxAskLooks)) // and half of it again
	}
}

// settled forgets what an earlier connection owed.
func (o *outbound) settled() {
	u := &o.owing
	for id, was := range u.owed {
		if was.qos == 1 { // what the broker may know of QoS 2 is in its session
			delete(o.win.retired, id)
		}
	}
	clear(u.owed)
	u.asked, u.ask, u.began = nil, u.ask/2, o.ended
}
