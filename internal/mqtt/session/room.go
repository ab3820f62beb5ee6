package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Bounded is a [Sink] with limited room. While it has none the connection is
// not read, so that back-pressure on the socket slows the broker. Its methods
// are called on the read loop and must not block.
type Bounded interface {
	Sink
	// Room reports whether there is room for m with the given size in bytes.
	// Only topic, QoS and subscription identifiers of m are set. With twice the
	// limits are doubled. If there is no room within the normal limits, again
	// is resumed from any goroutine as soon as there is. m is valid until Room
	// returns.
	Room(m *Inbound, size int, twice bool, again Resumer) bool
	// Overflow reports whether to drop, and counts, a QoS 0 message that Room
	// has no room for: because it has waited, or because waiting would delay
	// others or be useless.
	Overflow(m *Inbound, waited bool) (dropped bool)
	// IllFormed is called for a QoS 0 message that was dropped because its text
	// is ill-formed.
	IllFormed(err error)
}

// Resumer continues work that waits for room. Resume never waits.
type Resumer interface{ Resume() }

// A QoS 0 message may delay those after it for 20 ms, in two parts: if the
// whole process was not scheduled during the first, the handlers can run during
// the second.
const (
	roomWait  = 10 * time.Millisecond
	roomWaits = 2
)

// errDropped is the outcome of a QoS 0 message for which there is no room.
var errDropped = errors.New("dropped")

// admit reserves room for a message. It returns nil, errDropped, or
// [link.ErrBusy] if the message is to be offered again.
func (in *inbound) admit(c *conn, p *wire.Publish, size int) error {
	if in.bounded == nil {
		return nil
	}
	m := &c.probe
	m.Topic, m.QoS = bytesString(p.Topic), p.QoS
	m.identify(&p.Props, &c.probeIDs)
	defer func() { m.Topic = "" }() // the topic is part of a frame
	if in.bounded.Room(m, size, false, c.link) {
		return nil
	}
	if c.link.Asked() {
		switch {
		case in.bounded.Room(m, size, true, c.link):
			return nil
		case p.QoS == 0 && in.bounded.Overflow(m, true): // drop it: the broker's answer must not wait for a QoS 0 message
			return errDropped
		}
		in.fullUp(c)
	}
	if p.QoS > 0 {
		return link.ErrBusy
	}
	due := c.waits > 0 && time.Now().After(c.until)
	if in.bounded.Overflow(m, due && c.waits == roomWaits) {
		return errDropped
	}
	if c.waits == 0 || due {
		c.waits++
		c.until = time.Now().Add(roomWait)
		time.AfterFunc(roomWait+time.Millisecond, c.link.Resume)
	}
	return link.ErrBusy
}

// heldBounds returns the limits of unacknowledged messages of one connection. A message
// that is done may have to wait for the acknowledgement of an earlier one. It then
// takes no room in the sink any more, but its memory is still needed to recognise a
// redelivery.
func (in *inbound) heldBounds(c *conn) (count int, bytes int64) {
	count, bytes = in.cfg.MaxHeld, in.cfg.MaxHeldBytes
	if c.link.Asked() {
		return 2 * count, 2 * bytes
	}
	return count, bytes
}

// crowded reports whether a connection holds too much to accept a message of
// this size. in.mu must be held.
func (in *inbound) crowded(c *conn, size int) bool {
	count, bytes := in.cfg.MaxHeld, in.cfg.MaxHeldBytes
	if count == 0 {
		return false // see maxUnread
	}
	held := c.owed()
	if held == 0 || held < count && c.heldBytes+int64(size) <= bytes {
		return false
	}
	count, bytes = in.heldBounds(c)
	return held >= count || c.heldBytes+int64(size) > bytes
}

// owed returns how many acknowledgements wait for their turn: those of held
// messages, and those of messages whose identifier the broker reused or
// repeated. in.mu must be held.
func (c *conn) owed() int { return max(c.held, c.ledger.Len()) }

// maxUnread is how many acknowledgements a peer may leave unread before it is
// disconnected.
const maxUnread = 1 << 18

var errUnread = errors.New("the broker does not read our acknowledgements")

// eased reports whether a crowded connection has room again, with a margin.
// in.mu must be held.
func (in *inbound) eased(c *conn) bool {
	if held := c.owed(); !c.crowded || held > in.cfg.MaxHeld*7/8 || c.heldBytes > in.cfg.MaxHeldBytes*7/8 && held > 0 {
		return false
	}
	c.crowded = false
	return true
}

// jam is the state in which the answer to a SUBSCRIBE or UNSUBSCRIBE cannot be
// read because twice the limits are used up.
type jam struct {
	mu sync.Mutex
	on bool
	ch chan struct{} // closed during a jam
}

var errFullUp = errors.New("the broker's answer cannot be read, because messages before it find no room: the queue is at twice its limit")

func (j *jam) set(on bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ch == nil {
		j.ch = make(chan struct{})
	}
	switch {
	case on && !j.on:
		close(j.ch)
	case !on && j.on:
		j.ch = make(chan struct{})
	}
	j.on = on
}

// wait returns a channel that is closed during a jam.
func (j *jam) wait() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ch == nil {
		j.ch = make(chan struct{})
	}
	return j.ch
}

// fullUp fails the calls that wait for an answer of the broker. Their requests
// remain in effect.
func (in *inbound) fullUp(c *conn) {
	if !c.full {
		c.overrun = time.AfterFunc(in.cfg.ConnectTimeout, func() { in.overrun(c) })
	}
	c.full = true
	in.jam.set(true)
}

// overrunPause is how long no other connection is ended for this reason.
const overrunPause = time.Hour

var errOverrun = errors.New("the broker sent more unacknowledged messages than announced, and twice the limits stay used up: receive maximum exceeded [MQTT-3.3.4-9]")

// overrun ends the connection to an MQTT 5 broker that has exceeded the Receive
// Maximum. It does so if twice our limits have been used up for a long time and an
// answer of the broker cannot be read for that reason. The DISCONNECT has the reason.
// Because some brokers would do the same on each connection, it does so once per
// overrunPause; otherwise reading stays paused.
func (in *inbound) overrun(c *conn) {
	in.mu.Lock()
	now := time.Now()
	over := c.version == wire.V5 && !c.over.Load() && c.held > in.cfg.ReceiveMaximum &&
		(in.overran.IsZero() || now.Sub(in.overran) > overrunPause)
	if over {
		in.overran = now
	}
	in.mu.Unlock()
	if over {
		c.part(&parting{err: errOverrun, code: wire.ReasonReceiveMaximumExceeded})
	}
}

// flows ends the wait for room and the jam.
func (in *inbound) flows(c *conn) {
	c.waits = 0
	if c.full {
		c.full = false
		c.overrun.Stop()
		in.jam.set(false)
	}
}

// patient returns a context that ends with the connection or after d of
// reading. The time during which reading is paused does not count, because no
// answer can arrive.
func (c *conn) patient(d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(c.alive)
	before := c.link.Paused()
	go func() {
		t := time.NewTimer(d)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			more := c.link.Paused() - before
			if more <= 0 {
				cancel(context.DeadlineExceeded)
				return
			}
			before += more
			t.Reset(more)
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}
