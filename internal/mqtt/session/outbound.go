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
// buffer instead of copying.
const straightThrough = 32 << 10

// outbound is the publishing half of a session: the messages in flight and the
// publishers that wait for room. Lock order: mu before any lock of the
// connection.
type outbound struct {
	mu         sync.Mutex
	win        window
	cur        *conn // nil while disconnected
	quota      int   // PUBLISHes that the broker still accepts [MQTT-4.9.0-1]
	qos2Cap    int
	blocked    bool // the connection's queue is full
	closed     error
	unfinished int  // publishes that were cut short by close
	receive    int  // the broker's Receive Maximum
	suspects   int  // messages at the head of the window that may have ended connections
	probe      int  // how many may be in flight until they are cleared; 0 means no limit
	proving    bool // nothing may be in flight until a PINGREQ is answered
	search     search
	unrest     *unrest
	kinds      kinds
	recs       uint32 // number of PUBRECs so far
	ended      uint64 // number of steps of exchanges so far
	stuck      stuck
	owing      owing
	waiters    []*waiter
	scratch    []byte // for QoS 0 frames
	idRoom     [idProperty5]byte
	aliases    aliases
	aliasCap   int // how many aliases we use; 0 means none
	version    wire.Version
	limits     limits
	offers     offers
	finished   []finish // completions collected under mu and reported without it
	onUnrouted func(topic []byte)
	// ignoreUnrouted is [Config.IgnoreUnrouted].
	ignoreUnrouted bool
}

type finish struct {
	done completion
	err  error
}

// sent is a message that is being sent.
type sent struct {
	conn  *conn // the connection that accepted it first
	slot  int32 // none for QoS 0
	alone bool  // nothing else is in flight
}

// try admits m if it is its turn. w is its place in the queue, or nil.
func (o *outbound) try(m *Message, n need, done completion, w *waiter) (out sent, ok bool, err error) {
	if o.closed != nil {
		return out, false, o.fail(m, closedReason(o.closed), o.closed)
	}
	if err := o.held(m); err != nil { // also while there is no connection
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

// admit encodes m for the current connection and adds it to the window.
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

// admitQoS0 returns ok = false if the connection's queue is full. Only QoS 0
// waits for that queue, because the window limits the others.
func (o *outbound) admitQoS0(m *Message, n need) (sent, bool, error) {
	frame, err := o.encode(o.scratch[:0], m, 0, false)
	if err != nil {
		return sent{}, false, err
	}
	if o.scratch = frame; len(frame) > keepFrame {
		o.scratch = nil // the connection may keep a large frame, and a large buffer is not needed again
	}
	out := sent{conn: o.cur, slot: none}
	ok, err := o.queue(frame)
	if err != nil {
		o.cur = nil
		return sent{}, false, nil //nolint:nilerr // the connection has ended: wait for the next
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

// check rejects an expired message, and one that the broker announced not to accept,
// before it takes room.
func (o *outbound) check(m *Message, kept bool) error {
	if !m.Expires.IsZero() && !time.Now().Before(m.Expires) {
		return o.fail(m, event.ReasonTimeout, ErrExpired)
	}
	if err := o.offers.lacks(o, demand{qos: m.QoS, retain: m.Retain}, m.Topic, kept); err != nil {
		return err
	}
	return nil
}

// pump passes slots to the connection in order, as far as the broker's quota
// and the connection's queue allow.
func (o *outbound) pump() {
	for o.cur != nil && o.win.next != none && !o.blocked && o.quota > 0 && !o.probing() && !o.offers.leaving {
		sl := &o.win.slots[o.win.next]
		first := sl.state == slotQueued
		if !first {
			sl.resend()
		}
		var ok bool
		var err error
		if sl.state == slotReleased {
			ok, err = o.cur.link.Queue(wire.AppendAck(nil, o.version, wire.TypePubrel, sl.id, 0))
		} else {
			ok, err = o.queue(sl.frame)
		}
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

// queue passes a PUBLISH to the connection, with an alias in place of its topic
// if aliases are in use.
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

// abandon is called by a publisher that stops waiting for the message in a
// slot. unsent reports that the message was never sent and has been removed.
// over reports that the exchange has ended and that its outcome is being
// reported to the publisher.
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

// end removes a slot from the window. A callback that has not run yet still
// counts against the room of its kind.
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

// called records that n callbacks are about to run.
func (o *outbound) called(c *callbacks, n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.waiting -= n
	o.wake()
}

// refuse makes publishers fail immediately from now on.
func (o *outbound) refuse(cause error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil {
		o.closed = cause
	}
	o.wake()
}

// drain waits until nothing is in flight, ctx ends, or nothing can be
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

// close fails everything that is left and all later publishes.
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
	o.report()
}

// cutOff returns the number of publishes that close cut short.
func (o *outbound) cutOff() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unfinished
}

// report reports collected outcomes without the lock.
func (o *outbound) report() {
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

// need is what a publisher waits for.
type need struct {
	qos     byte
	calls   *callbacks // callbacks that receive the outcome, which takes room until the callback has run, or nil
	drained bool       // waits for an empty window instead
}

// waiter is a publisher that waits for room or for a connection. Waiters with
// the same need are served first come, first served.
type waiter struct {
	need
	ready chan struct{}
	woken bool // woken, and has not looked yet
}

// admits reports whether a publisher with this need no longer has to wait.
func (o *outbound) admits(n need) bool {
	switch {
	case n.drained:
		return o.win.used == 0 || o.cur == nil
	case o.closed != nil:
		return true // to return the error
	case o.cur == nil:
		return false
	}
	if c := n.calls; c != nil && o.win.used+c.waiting >= o.win.size { // counts callbacks of its own kind only, because one may hang
		return false
	}
	if n.qos == 0 { // while suspects are tried nothing else is sent
		return !o.blocked && o.probe == 0
	}
	return !o.win.full(n.qos, o.qos2Cap)
}

// behind reports whether a new publisher has to queue because a waiter can
// proceed.
func (o *outbound) behind() bool {
	for _, w := range o.waiters {
		if o.admits(w.need) {
			return true
		}
	}
	return false
}

// enter adds a waiter to the queue.
func (o *outbound) enter(n need) *waiter {
	w := &waiter{need: n, ready: make(chan struct{}, 1)}
	o.waiters = append(o.waiters, w)
	return w
}

// leave ends a wait, for whatever reason, and wakes the next waiter, so that
// unused room is not lost.
func (o *outbound) leave(w *waiter) {
	if w == nil {
		return
	}
	if i := slices.Index(o.waiters, w); i >= 0 {
		o.waiters = slices.Delete(o.waiters, i, i+1)
	}
	o.wake()
}

// wake wakes the first waiter whose need is met. A waiter that leaves the queue
// wakes the next, so that one call suffices however much room there is.
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
