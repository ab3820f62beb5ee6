package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Bounded is a [Sink] whose room ends. While it has none the connection is not
// read: back-pressure on the socket holds up the broker. It is called on the
// read loop and must not block.
type Bounded interface {
	Sink
	// Room reports whether there is room for m, of this size in bytes, of which only
	// topic, QoS and subscription identifiers are known; twice asks for it within twice
	// the bounds. Without room in the bounds themselves again is resumed, from any
	// goroutine, when there is. m is valid until Room returns.
	Room(m *Inbound, size int, twice bool, again Resumer) bool
	// Overflow is told of a QoS 0 message that Room has no room for, and reports
	// whether it is dropped now, which it then counts: because it has waited, or
	// because waiting would hold up others, or be in vain.
	Overflow(m *Inbound, waited bool) (dropped bool)
	// IllFormed is told of a QoS 0 message that was dropped because its text is
	// ill-formed.
	IllFormed(err error)
}

// Resumer goes on with what waits for room. Resume never waits itself.
type Resumer interface{ Resume() }

// A QoS 0 message may hold up what comes behind it for 20 ms, in two parts: where
// the whole process did not get to run in the first, the handlers do in the
// second.
const (
	roomWait  = 10 * time.Millisecond
	roomWaits = 2
)

// errDropped is the outcome of a QoS 0 message that nobody has room for.
var errDropped = errors.New("dropped")

// admit finds room for a message: nil, errDropped, or [link.ErrBusy] to have it
// offered again.
func (in *inbound) admit(c *conn, p *wire.Publish, size int) error {
	if in.bounded == nil {
		return nil
	}
	m := &c.probe
	m.Topic, m.QoS = bytesString(p.Topic), p.QoS
	m.through.take(&p.Props, &c.probeIDs)
	defer func() { m.Topic = "" }() // part of a frame
	if in.bounded.Room(m, size, false, c.link) {
		return nil
	}
	if c.link.Asked() {
		switch {
		case in.bounded.Room(m, size, true, c.link):
			return nil
		case p.QoS == 0 && in.bounded.Overflow(m, true): // the answer does not wait for it
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

// heldBounds bound the messages of one connection that are not acknowledged:
// those that are done behind one that is not take no room of the sink's any
// more, and their memory is needed for a redelivery.
func (in *inbound) heldBounds(c *conn) (count int, bytes int64) {
	count, bytes = in.cfg.MaxHeld, in.cfg.MaxHeldBytes
	if c.link.Asked() {
		return 2 * count, 2 * bytes
	}
	return count, bytes
}

// crowded reports whether a connection holds too much to take a message of this
// size. in.mu is held.
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

// owed is how many acknowledgements wait for their turn: of the messages that are
// held, and of those whose identifier the broker used again or repeats meanwhile.
// in.mu is held.
func (c *conn) owed() int { return max(c.held, c.ledger.Len()) }

// maxUnread is how many acknowledgements a peer may leave unread that nothing else
// holds up: it is cut off then.
const maxUnread = 1 << 18

var errUnread = errors.New("the broker does not read our acknowledgements")

// eased reports whether a crowded connection has room again, and some more. in.mu
// is held.
func (in *inbound) eased(c *conn) bool {
	if held := c.owed(); !c.crowded || held > in.cfg.MaxHeld*7/8 || c.heldBytes > in.cfg.MaxHeldBytes*7/8 && held > 0 {
		return false
	}
	c.crowded = false
	return true
}

// jam is the state in which the answer to a SUBSCRIBE or UNSUBSCRIBE cannot be
// read, because twice the bounds are used up.
type jam struct {
	mu sync.Mutex
	on bool
	ch chan struct{} // closed while on
}

var errFullUp = errors.New("the broker's answer is behind messages that nobody has room for: their queue is at twice its bound")

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

// wait returns what is closed while there is a jam.
func (j *jam) wait() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ch == nil {
		j.ch = make(chan struct{})
	}
	return j.ch
}

// fullUp fails the calls that wait for an answer of the broker. What they asked
// for goes on.
func (in *inbound) fullUp(c *conn) {
	if !c.full {
		c.overrun = time.AfterFunc(in.cfg.ConnectTimeout, func() { in.overrun(c) })
	}
	c.full = true
	in.jam.set(true)
}

// overrunPause is for how long a broker that was told is left alone.
const overrunPause = time.Hour

var errOverrun = errors.New("the broker sent more than it may before an acknowledgement, and twice of what is held here stays used up: receive maximum exceeded [MQTT-3.3.4-9]")

// overrun leaves a broker of MQTT 5 that has sent more than the Receive Maximum when
// twice of our bounds have been used up for long, with its answer behind them, and
// says why. Some know no better, and would do the same on each connection: those are
// held up by what is not read, as before.
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

// flows ends the wait for room, and the jam.
func (in *inbound) flows(c *conn) {
	c.waits = 0
	if c.full {
		c.full = false
		c.overrun.Stop()
		in.jam.set(false)
	}
}

// patient returns a context that ends with the connection, or after d of
// reading: an answer cannot come while nothing is read.
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
