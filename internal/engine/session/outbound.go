package session

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/wire"
)

// straightThrough is the frame size from which the connection writes from our
// buffer instead of copying it.
const straightThrough = 32 << 10

// outbound is the publishing half of a session: what is in flight, and who
// waits for room. Lock order: mu before any lock of the connection.
type outbound struct {
	mu       sync.Mutex
	win      window
	cur      *conn // nil while down
	quota    int   // PUBLISHes that the broker still takes [MQTT-4.9.0-1]
	qos2Cap  int
	blocked  bool // the connection's queue is full
	calling  int  // callbacks not yet run
	closed   error
	waiters  []*waiter
	scratch  []byte // QoS 0 frames
	version  wire.Version
	limits   limits
	finished []finish // completions collected under mu, told after it
}

// limits are the broker's, from CONNACK.
type limits struct {
	maxQoS    byte
	retain    bool
	maxPacket int // 0 is none
}

type finish struct {
	done completion
	err  error
}

// waiter is a publisher that waits for room or for a connection.
type waiter struct{ ready chan struct{} }

// send puts m on its way. With QoS 0 it returns when the bytes were handed to
// a live connection; otherwise done is told the outcome, unless send itself
// returns an error. A caller who gives up later abandons the id.
func (s *Session) send(ctx context.Context, m *Message, done completion, limit *limit) (id uint16, err error) {
	o := &s.out
	o.mu.Lock()
	for {
		if o.closed != nil {
			o.mu.Unlock()
			return 0, o.fail(m, closedReason(o.closed), o.closed)
		}
		if o.ready(m.QoS) {
			id, sent, err := o.admit(m, done)
			if sent || err != nil {
				o.mu.Unlock()
				return id, err
			}
		}
		w := o.wait()
		connected := o.cur != nil
		o.mu.Unlock()
		if err := w.block(ctx, limit.reached(ctx)); err != nil {
			o.leave(w)
			return 0, o.fail(m, waitReason(connected, err), s.downCause(connected, err))
		}
		o.mu.Lock()
	}
}

// ready says whether a message of this QoS may be admitted now.
func (o *outbound) ready(qos byte) bool {
	if o.cur == nil {
		return false
	}
	if qos == 0 {
		return !o.blocked
	}
	return !o.win.full(qos, o.qos2Cap) && o.win.used+o.calling < o.win.size
}

// admit encodes m for the current connection. sent is false when its queue is
// full, which only QoS 0 waits for: the window bounds the rest.
func (o *outbound) admit(m *Message, done completion) (id uint16, sent bool, err error) {
	if err := o.check(m); err != nil {
		return 0, false, err
	}
	if m.QoS == 0 {
		sent, err = o.admitQoS0(m)
		return 0, sent, err
	}
	i, sl := o.win.take(m.QoS)
	frame, err := encode(sl.frame[:0], m, sl.id, o.version)
	if err == nil && o.limits.maxPacket > 0 && len(frame) > o.limits.maxPacket {
		err = tooLarge(len(frame), o.limits.maxPacket)
	}
	if err != nil {
		o.win.drop(i)
		return 0, false, o.fail(m, reasonOfEncode(err), err)
	}
	sl.frame, sl.done = frame, done
	o.win.push(i)
	o.pump()
	return sl.id, true, nil
}

func (o *outbound) admitQoS0(m *Message) (bool, error) {
	frame, err := encode(o.scratch[:0], m, 0, o.version)
	if err == nil && o.limits.maxPacket > 0 && len(frame) > o.limits.maxPacket {
		err = tooLarge(len(frame), o.limits.maxPacket)
	}
	if err != nil {
		return false, o.fail(m, reasonOfEncode(err), err)
	}
	if o.scratch = frame; len(frame) > keepFrame {
		o.scratch = nil // the connection may keep a large frame, and we need no large buffer
	}
	ok, err := o.cur.link.Queue(frame)
	if err != nil {
		o.cur = nil
		return false, nil
	}
	o.blocked = !ok
	return ok, nil
}

// check refuses what the broker said it cannot take [MQTT-3.2.2-11],
// [MQTT-3.2.2-14].
func (o *outbound) check(m *Message) error {
	switch {
	case m.QoS > o.limits.maxQoS:
		return o.fail(m, ReasonUnsupported, fmt.Errorf("the broker takes QoS %d at most", o.limits.maxQoS))
	case m.Retain && !o.limits.retain:
		return o.fail(m, ReasonUnsupported, errors.New("the broker keeps no retained messages"))
	}
	return nil
}

// pump hands listed slots to the connection, in order, as far as the broker's
// quota and the connection's queue allow.
func (o *outbound) pump() {
	for o.cur != nil && o.win.next != none && !o.blocked && o.quota > 0 {
		sl := &o.win.slots[o.win.next]
		first := sl.state == slotQueued
		if !first {
			sl.resend()
		}
		ok, err := o.carry(sl)
		if err != nil {
			o.cur = nil
			return
		}
		if !ok {
			o.blocked = true
			return
		}
		if first {
			sl.state, sl.carried = slotSent, true
		}
		o.quota--
		o.win.next = sl.next
	}
}

func (o *outbound) carry(sl *slot) (bool, error) {
	if sl.state == slotReleased {
		return o.cur.link.Queue(wire.AppendAck(nil, o.version, wire.TypePubrel, sl.id, 0))
	}
	return o.cur.link.Queue(sl.frame)
}

// attach makes c the connection that carries the window, called inside Read
// when its CONNACK passes and before anything else can arrive.
func (o *outbound) attach(c *conn) (lost int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := &c.connack
	o.cur, o.version, o.blocked = c, c.version, false
	o.quota = int(a.ReceiveMaximum)
	o.limits = limits{maxQoS: a.MaximumQoS, retain: a.RetainAvailable, maxPacket: int(a.MaximumPacketSize)}
	if !a.SessionPresent {
		lost = o.forget()
	}
	o.win.rewind()
	o.pump()
	o.wakeAll()
	return lost
}

// forget ends or restarts every exchange that a lost session cut short: QoS 1
// is published again as a new message, QoS 2 cannot be without risking a
// second delivery.
func (o *outbound) forget() (lost int) {
	for i := o.win.head; i != none; {
		sl := &o.win.slots[i]
		next := sl.next
		switch {
		case sl.left:
			o.end(i)
		case sl.state == slotQueued:
		case sl.qos == 1:
			o.win.republish(i)
		default:
			lost++
			o.finished = append(o.finished, finish{o.end(i), &Error{Op: opPublish, Reason: ReasonSessionLost, MayHaveBeenSent: true}})
		}
		i = next
	}
	return lost
}

// detach is called once for the connection that ended.
func (o *outbound) detach(c *conn) {
	o.mu.Lock()
	if o.cur == c {
		o.cur = nil
	}
	o.mu.Unlock()
}

// writable continues after the connection's queue was full.
func (o *outbound) writable(c *conn) {
	o.mu.Lock()
	if o.cur == c {
		o.blocked = false
		o.pump()
		o.wakeAll()
	}
	o.mu.Unlock()
}

// wait enters the line of publishers.
func (o *outbound) wait() *waiter {
	w := &waiter{ready: make(chan struct{}, 1)}
	o.waiters = append(o.waiters, w)
	return w
}

// leave takes a waiter out and passes on a wake-up it may have had.
func (o *outbound) leave(w *waiter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, x := range o.waiters {
		if x == w {
			o.waiters = append(o.waiters[:i], o.waiters[i+1:]...)
			return
		}
	}
	o.wakeOne()
}

func (o *outbound) wakeOne() {
	if len(o.waiters) > 0 {
		w := o.waiters[0]
		o.waiters = append(o.waiters[:0], o.waiters[1:]...)
		w.ready <- struct{}{}
	}
}

func (o *outbound) wakeAll() {
	for len(o.waiters) > 0 {
		o.wakeOne()
	}
}

func (w *waiter) block(ctx context.Context, timeout <-chan time.Time) error {
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timeout:
		return context.DeadlineExceeded
	}
}

// abandon is called by a publisher that gives up on a message in flight. It
// reports whether the message was on no wire yet, and then takes it back.
func (o *outbound) abandon(id uint16) (unsent bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i, sl := o.win.find(id)
	if sl == nil {
		return false
	}
	if !sl.carried {
		o.end(i)
		o.wakeOne()
		return true
	}
	sl.left = true
	return false
}

// close fails what is left and everything that comes later.
func (o *outbound) close(cause error) (unfinished int) {
	o.mu.Lock()
	o.closed, o.cur = cause, nil
	for o.win.head != none {
		sl := &o.win.slots[o.win.head]
		maybe := sl.carried
		if !sl.left {
			unfinished++
		}
		o.finished = append(o.finished, finish{o.end(o.win.head), &Error{Op: opPublish, Reason: ReasonClosed, MayHaveBeenSent: maybe, Cause: cause}})
	}
	o.wakeAll()
	o.mu.Unlock()
	o.tell()
	return unfinished
}

// end takes a listed slot out of the window. A callback still to run goes on
// counting against it.
func (o *outbound) end(i int32) completion {
	done := o.win.remove(i)
	if _, async := done.(*asyncCall); async {
		o.calling++
	}
	return done
}

// called is told that one callback has run.
func (o *outbound) called() {
	o.mu.Lock()
	o.calling--
	o.wakeOne()
	o.mu.Unlock()
}

// calledLater counts a callback that is queued without a slot.
func (o *outbound) calledLater() {
	o.mu.Lock()
	o.calling++
	o.mu.Unlock()
}

// refuse makes publishers fail at once from now on.
func (o *outbound) refuse(cause error) {
	o.mu.Lock()
	if o.closed == nil {
		o.closed = cause
	}
	o.wakeAll()
	o.mu.Unlock()
}

// drain waits until nothing is in flight, or ctx ends, or nothing can be
// acknowledged because there is no connection.
func (o *outbound) drain(ctx context.Context) {
	for {
		o.mu.Lock()
		if o.win.used == 0 || ctx.Err() != nil {
			o.mu.Unlock()
			return
		}
		w := o.wait()
		o.mu.Unlock()
		if w.block(ctx, nil) != nil {
			o.leave(w)
		}
	}
}

// tell reports collected outcomes outside the lock.
func (o *outbound) tell() {
	o.mu.Lock()
	list := o.finished
	o.finished = nil
	o.mu.Unlock()
	for _, f := range list {
		if f.done != nil {
			f.done.complete(f.err)
		}
	}
}

func closedReason(cause error) Reason {
	if errors.Is(cause, errStopped) {
		return ReasonClosed
	}
	return ReasonNotConnected
}

func (o *outbound) fail(m *Message, r Reason, cause error) error {
	return &Error{Op: opPublish, Topic: m.Topic, Reason: r, Cause: cause}
}

const opPublish = "publish"
