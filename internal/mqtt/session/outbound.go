package session

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

const opPublish = "publish"

// straightThrough is the frame size from which the connection writes from our
// buffer instead of copying it.
const straightThrough = 32 << 10

// outbound is the publishing half of a session: what is in flight, and who
// waits for room. Lock order: mu before any lock of the connection.
type outbound struct {
	mu         sync.Mutex
	win        window
	cur        *conn // nil while down
	quota      int   // PUBLISHes that the broker still takes [MQTT-4.9.0-1]
	qos2Cap    int
	blocked    bool // the connection's queue is full
	closed     error
	unfinished int  // publishes that close cut off
	receive    int  // the broker's Receive Maximum
	suspects   int  // messages at the head of the window that may end connections
	probe      int  // how many may be in flight until they are cleared; 0 is no limit
	proving    bool // nothing may be in flight until a PINGREQ is answered
	search     search
	unrest     *unrest
	kinds      kinds
	recs       uint32 // PUBRECs so far
	ended      uint64 // steps of exchanges so far
	stuck      stuck
	owing      owing
	waiters    []*waiter
	scratch    []byte // QoS 0 frames
	idRoom     [idProperty5]byte
	aliases    aliases
	aliasCap   int // how many we want; 0 is none
	version    wire.Version
	limits     limits
	offers     offers
	finished   []finish // completions collected under mu, told after it
	onUnrouted func(topic []byte)
}

type finish struct {
	done completion
	err  error
}

// sent is a message that is on its way.
type sent struct {
	conn  *conn // that took it first
	slot  int32 // none with QoS 0
	alone bool  // nothing else is in flight
}

// try admits m if its turn has come; w is its place in the line, if any.
func (o *outbound) try(m *Message, n need, done completion, w *waiter) (out sent, ok bool, err error) {
	if o.closed != nil {
		return out, false, o.fail(m, closedReason(o.closed), o.closed)
	}
	if err := o.held(m); err != nil { // at once, also while there is no connection
		return out, false, err
	}
	if !o.admits(n) || (w == nil && o.behind()) {
		return out, false, nil
	}
	if err := o.check(m, isKept(done)); err != nil {
		return out, false, err
	}
	if m.QoS == 0 {
		return o.admitQoS0(m, n)
	}
	return o.admit(m, done)
}

// admit encodes m for the current connection and takes it into the window.
func (o *outbound) admit(m *Message, done completion) (sent, bool, error) {
	i, sl := o.win.take(m.QoS)
	frame, err := o.encode(sl.frame[:0], m, sl.id, isKept(done))
	sl.frame = frame
	if err != nil {
		o.win.drop(i)
		return sent{}, false, err
	}
	sl.done, sl.unrouted, sl.weight, sl.kept = done, m.Unrouted, o.kinds.try(m), isKept(done)
	o.win.push(i)
	m.sent()
	out := sent{conn: o.cur, slot: i, alone: o.win.used == 1}
	o.pump()
	o.watch()
	return out, true, nil
}

// admitQoS0 is not ok when the connection's queue is full, which only QoS 0
// waits for: the window bounds the rest.
func (o *outbound) admitQoS0(m *Message, n need) (sent, bool, error) {
	frame, err := o.encode(o.scratch[:0], m, 0, false)
	if err != nil {
		return sent{}, false, err
	}
	if o.scratch = frame; len(frame) > keepFrame {
		o.scratch = nil // the connection may keep a large frame, and we need no large buffer
	}
	out := sent{conn: o.cur, slot: none}
	ok, err := o.queue(frame)
	if err != nil {
		o.cur = nil
		return sent{}, false, nil //nolint:nilerr // the connection is over: wait for the next
	}
	o.blocked = !ok
	if ok && n.calls != nil {
		n.calls.waiting++
	}
	if ok {
		m.sent()
		o.cur.sent, o.cur.sentAt = m.Topic, time.Now()
	}
	return out, ok, nil
}

func (o *outbound) encode(dst []byte, m *Message, id uint16, kept bool) ([]byte, error) {
	frame, err := encode(dst, m.stamped(o.version), id, o.version, o.idRoom[:0])
	if err != nil {
		return dst, o.fail(m, event.ReasonBadRequest, err)
	}
	if err := o.offers.lacks(o, demand{m.QoS, m.Retain, len(frame)}, m.Topic, kept); err != nil {
		return dst, err
	}
	return frame, nil
}

// check refuses what the broker said it cannot take, before it takes room.
func (o *outbound) check(m *Message, kept bool) error {
	if err := o.offers.lacks(o, demand{qos: m.QoS, retain: m.Retain}, m.Topic, kept); err != nil {
		return err
	}
	return nil
}

// pump hands listed slots to the connection, in order, as far as the broker's
// quota and the connection's queue allow.
func (o *outbound) pump() {
	for o.cur != nil && o.win.next != none && !o.blocked && o.quota > 0 && !o.probing() && !o.offers.leaving {
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
		sl.charged = true
		if sl.kept {
			sl.looks, sl.asked, sl.outlived = 0, false, false
			o.watchKept()
		}
		if o.probe == 1 && o.cur.alone.IsZero() {
			o.cur.alone = time.Now()
		}
		o.quota--
		o.win.next = sl.next
	}
}

func (o *outbound) carry(sl *slot) (bool, error) {
	if sl.state == slotReleased {
		return o.cur.link.Queue(wire.AppendAck(nil, o.version, wire.TypePubrel, sl.id, 0))
	}
	return o.queue(sl.frame)
}

// queue hands a PUBLISH to the connection, with an alias in the place of its
// topic where that is wanted.
func (o *outbound) queue(frame []byte) (bool, error) {
	short, sent := o.aliases.shorten(frame)
	ok, err := o.cur.link.Queue(short)
	if ok && sent != nil {
		sent()
	}
	return ok, err
}

// writable continues after the connection's queue was full.
func (o *outbound) writable(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cur == c {
		o.blocked = false
		o.pump()
		o.wake()
	}
}

// abandon is called by a publisher that gives up on the message in a slot. It
// reports whether the message was on no wire yet, and then takes it back, or that
// the exchange is over: then the outcome is on its way to the publisher.
func (o *outbound) abandon(i int32, done completion) (unsent, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sl := &o.win.slots[i]
	if sl.done != done {
		return false, true
	}
	if !sl.carried {
		o.end(i)
		o.wake()
		return true, false
	}
	sl.left = true
	return false, false
}

// end takes a listed slot out of the window. A callback still to run goes on
// counting against the room of its kind.
func (o *outbound) end(i int32) completion {
	sl := &o.win.slots[i]
	if sl.charged {
		o.quota++
		o.ended++
	}
	if sl.suspect {
		o.cleared()
	}
	done := o.win.remove(i)
	if a, async := done.(*asyncCall); async {
		a.to.waiting++
	}
	return done
}

// called is told that n callbacks run now.
func (o *outbound) called(c *callbacks, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.waiting -= n
	o.wake()
}

// refuse makes publishers fail at once from now on.
func (o *outbound) refuse(cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil {
		o.closed = cause
	}
	o.wake()
}

// drain waits until nothing is in flight, or ctx ends, or nothing can be
// acknowledged because there is no connection.
func (o *outbound) drain(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := need{drained: true}
	if o.admits(n) {
		return
	}
	w := o.enter(n)
	o.mu.Unlock()
	_ = w.block(ctx, nil)
	o.mu.Lock()
	o.leave(w)
}

// close fails what is left and everything that comes later.
func (o *outbound) close(cause error) {
	o.mu.Lock()
	o.closed, o.cur = cause, nil
	for _, t := range []*time.Timer{o.stuck.timer, o.owing.timer, o.offers.timer} {
		if t != nil {
			t.Stop()
		}
	}
	for i := o.win.head; i != none; i = o.win.head {
		sl := &o.win.slots[i]
		err := &event.Error{Op: opPublish, Reason: closedReason(cause), MayHaveBeenSent: sl.carried, Cause: cause}
		if !sl.left {
			o.unfinished++
		}
		o.finish(i, err)
	}
	o.wake()
	o.mu.Unlock()
	o.tell()
}

// cutOff is how many publishes close ended.
func (o *outbound) cutOff() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unfinished
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

func closedReason(cause error) event.Reason {
	if errors.Is(cause, errStopped) {
		return event.ReasonClosed
	}
	return event.ReasonNotConnected
}

func (o *outbound) fail(m *Message, r event.Reason, cause error) error {
	return &event.Error{Op: opPublish, Topic: m.Topic, Reason: r, Cause: cause}
}

// need is what somebody in line waits for.
type need struct {
	qos     byte
	calls   *callbacks // that the outcome goes to; takes room until it ran. nil for none
	drained bool       // waits for an empty window instead
}

// waiter is a publisher in line for room or for a connection, first come first
// served among those who need the same.
type waiter struct {
	need
	ready chan struct{}
	woken bool // has been told, and has not looked yet
}

// admits reports whether one with this need has to wait no longer.
func (o *outbound) admits(n need) bool {
	switch {
	case n.drained:
		return o.win.used == 0 || o.cur == nil
	case o.closed != nil:
		return true // to be told so
	case o.cur == nil:
		return false
	}
	if c := n.calls; c != nil && o.win.used+c.waiting >= o.win.size { // of its own kind only: one may hang
		return false
	}
	if n.qos == 0 { // nothing else goes beside a suspect
		return !o.blocked && o.probe == 0
	}
	return !o.win.full(n.qos, o.qos2Cap)
}

// behind reports whether a newcomer has to queue: somebody in line may go first.
func (o *outbound) behind() bool {
	for _, w := range o.waiters {
		if o.admits(w.need) {
			return true
		}
	}
	return false
}

// enter joins the line.
func (o *outbound) enter(n need) *waiter {
	w := &waiter{need: n, ready: make(chan struct{}, 1)}
	o.waiters = append(o.waiters, w)
	return w
}

// leave ends a wait, in whatever way, and lets the next one look: what the
// first did not use must not be lost.
func (o *outbound) leave(w *waiter) {
	if w == nil {
		return
	}
	if i := slices.Index(o.waiters, w); i >= 0 {
		o.waiters = slices.Delete(o.waiters, i, i+1)
	}
	o.wake()
}

// wake tells the first in line whose need is met. Who leaves the line wakes
// the next, so that one call is enough however much became free.
func (o *outbound) wake() {
	for _, w := range o.waiters {
		if !w.woken && o.admits(w.need) {
			w.woken = true
			w.ready <- struct{}{}
			return
		}
	}
}

// block waits to be woken, without the lock.
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
