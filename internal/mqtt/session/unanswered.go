package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// A broker may never acknowledge some messages, because its authorization
// service hangs or because it lost them. Each keeps its room in the window and
// its part of the broker's quota for as long as the connection lasts, which
// pings keep alive; once they take all of it, nothing else is sent. If a
// publisher has waited for room and nothing was acknowledged for a while, the
// connection is given up. Messages without a waiting publisher then fail. The
// others are sent again, and fail after several such connections. Messages of
// an outbox are handled earlier, see owing.

// The number of looks at a full window before the connection is given up: for messages
// with a waiting publisher, and for messages whose publishers all gave up. The first
// number is larger on the connection after one that was given up, and if
// acknowledgements were seen to take longer, because the broker may only be slow.
const (
	stuckLook      = time.Second
	stuckLooks     = 10
	abandonedLooks = 3
	slowness       = 2  // factor on the time that was seen
	longestLooks   = 60 // maximum
)

// stuckConnections is the number of connections on which a message with a waiting
// publisher may keep the window full.
const stuckConnections = 2

var errNoAck = errors.New("no acknowledgement")

// stuck is the state of the looks at a full window. The mutex of outbound
// guards it.
type stuck struct {
	timer *time.Timer // for the next look; nil if there is none
	conn  *conn
	qos   byte   // of the publisher that began to wait for room
	ended uint64 // ended of outbound at the last look
	looks int    // consecutive looks without an acknowledgement
	slow  int    // minimum number of looks, because the broker may be slow
}

// progress records that the broker acknowledged something on this connection. The time between
// two acknowledgements of a burst says little about the broker, so slow decreases step by step.
func (s *stuck) progress(c *conn, ended uint64) {
	if s.conn == c {
		s.slow = max(s.slow-1, min(slowness*s.looks, longestLooks))
	}
	s.conn, s.ended, s.looks = c, ended, 0
}

// isStuck reports whether a publisher waits only for an acknowledgement, and at
// which QoS.
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

// isFull reports whether a new publisher would have to wait for an
// acknowledgement.
func (o *outbound) isFull(qos byte) bool {
	return o.cur != nil && !o.blocked && o.closed == nil && (o.quota <= 0 || o.win.full(qos, o.qos2Cap))
}

// watch starts looking when a publisher has to wait.
func (o *outbound) watch() {
	if o.stuck.timer != nil {
		return
	}
	if qos, ok := o.isStuck(); ok {
		o.stuck.qos, o.stuck.looks = qos, 0
		o.stuck.timer = time.AfterFunc(stuckLook, o.look)
	}
}

// look continues as long as there is no room, even if no publisher is waiting
// at the moment, so that occasional callers with short deadlines find room,
// too.
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
	o.report()
	c.abort(err)
}

// awaited reports whether a publisher waits for one of the messages that were
// sent.
func (o *outbound) awaited() bool {
	for i := o.win.head; i != none && o.win.slots[i].charged; i = o.win.slots[i].next {
		if !o.win.slots[i].left {
			return true
		}
	}
	return false
}

// endIgnored ends the exchanges that do not justify another connection, and
// returns why this connection ends.
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

// An unacknowledged message of an outbox need not stay in the window until that
// is full and the connection is given up, because the outbox keeps it and sends
// it again later. It is given up once the broker has answered a PINGREQ that
// was sent well after the message; a broker that is only slow also answers the
// PINGREQ late. Its room in the window is then free immediately. Its packet id
// and its part of the broker's quota become free with a late acknowledgement or
// the end of the connection.

// The age, in looks, at which a PINGREQ checks that the broker is alive. If a
// message is acknowledged after it was given up, the age becomes twice that of
// the message. It is also doubled if a connection ends that is full of given up
// messages and had no acknowledgement, because the broker may be slow with all
// of them. Each new connection halves it again.
const (
	owingLook   = time.Second
	askLooks    = 2
	maxAskLooks = 32
)

// maxOwed is how many answers may be missing on one connection, if the broker's
// Receive Maximum is at least twice that. Then a new connection is made.
const maxOwed = 1024

// owing is the state of unacknowledged messages of an outbox. The mutex of
// outbound guards it.
type owing struct {
	timer *time.Timer // for the next look; nil if there is none
	asked *conn       // connection with a pending PINGREQ of ours
	ask   uint8       // age in looks at which to send a PINGREQ
	began uint64      // ended of outbound when the connection began
	owed  map[uint16]owed
}

// owed is an acknowledgement that is still missing.
type owed struct{ qos, looks uint8 }

// watchKept starts looking when a message of an outbox is sent.
func (o *outbound) watchKept() {
	if o.owing.timer == nil && o.closed == nil {
		o.owing.timer = time.AfterFunc(owingLook, o.lookAtKept)
	}
}

// lookAtKept gives up unanswered messages and sends a PINGREQ.
func (o *outbound) lookAtKept() {
	o.mu.Lock()
	u, c := &o.owing, o.cur
	u.timer = nil
	if c == nil || o.closed != nil { // the next connection sends them again
		o.mu.Unlock()
		return
	}
	kept, ask := false, false
	for i := o.win.head; i != none && o.win.slots[i].charged; {
		sl := &o.win.slots[i]
		next := sl.next
		switch {
		case !sl.kept || o.win.rounds < leastRounds: // the slot has no other packet id to continue with
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
	o.report()
	if err != nil {
		c.abort(err)
		return
	}
	c.link.Wake()
}

// askAlive sends a PINGREQ after the messages in flight.
func (o *outbound) askAlive(c *conn) {
	o.owing.asked = c
	for i := o.win.head; i != none && o.win.slots[i].charged; i = o.win.slots[i].next {
		o.win.slots[i].asked = true
	}
	c.link.Ping(func() { o.alive(c) })
}

// alive records that the broker answered a PINGREQ: messages that were sent
// before it and are old enough are given up at the next look. The read loop
// calls it.
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
	sl.charged = false // the quota is not returned
	after := time.Duration(sl.looks) * owingLook
	o.finish(i, &event.Error{
		Op: opPublish, Reason: event.ReasonTimeout, MayHaveBeenSent: true,
		Cause: fmt.Errorf("%w for %v from a broker that answers a PINGREQ", errNoAck, after),
	})
}

// answered handles an acknowledgement of a message that was given up. The mutex
// of outbound must be held.
func (o *outbound) answered(c *conn, a *wire.Ack) {
	was, owes := o.owing.owed[a.PacketID]
	if !owes {
		return
	}
	o.owing.ask = max(o.owing.ask, min(2*was.looks, maxAskLooks))
	if a.Type == wire.TypePubrec && a.Reason < codeFailed {
		return // PUBCOMP ends the exchange
	}
	delete(o.owing.owed, a.PacketID)
	delete(o.win.retired, a.PacketID)
	o.quota++
	o.pump()
	o.wake()
	c.wake = true
}

// wait makes the age on the next connection twice that of the messages that
// were given up.
func (u *owing) wait() {
	for _, was := range u.owed {
		u.ask = max(u.ask, min(4*was.looks, 2*maxAskLooks)) // the next connection halves it
	}
}

// settled forgets the missing acknowledgements of an earlier connection.
func (o *outbound) settled() {
	u := &o.owing
	for id, was := range u.owed {
		if was.qos == 1 { // the broker's session may still contain the QoS 2 exchange
			delete(o.win.retired, id)
		}
	}
	clear(u.owed)
	u.asked, u.ask, u.began = nil, u.ask/2, o.ended
}
