package link

import (
	"errors"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// ErrBusy is the error that [Receiver.Frame] returns if it has no room for the frame.
// The Conn keeps the frame, stops reading from the socket, and offers the frame again
// after [Conn.Resume].
var ErrBusy = errors.New("no room for the frame")

// jamGap is the longest time between two pauses that belong to the same jam.
const jamGap = time.Second

// pauses records the times during which the receiver had no room.
type pauses struct {
	mu    sync.Mutex
	since time.Time     // start of the current pause, or zero
	last  time.Time     // end of the last pause
	jam   time.Time     // start of the first pause of the jam
	total time.Duration // total length of the pauses that have ended
}

func (p *pauses) begin(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) > jamGap {
		p.jam = now
	}
	p.since = now
}

func (p *pauses) end(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total += now.Sub(p.since)
	p.since, p.last = time.Time{}, now
}

func (p *pauses) jammed(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jam.IsZero() || p.since.IsZero() && now.Sub(p.last) > jamGap {
		return 0
	}
	return now.Sub(p.jam)
}

func (p *pauses) sum(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return p.total
	}
	return p.total + now.Sub(p.since)
}

// Resume offers the frame again that was refused with [ErrBusy]. It never
// waits, and may be called at any time and more often than necessary.
func (c *Conn) Resume() {
	select {
	case c.resume <- struct{}{}:
	default:
	}
}

// Asked reports whether a SUBSCRIBE or UNSUBSCRIBE is unanswered. The answer
// arrives only after everything that has not been read yet.
func (c *Conn) Asked() bool { return c.asked.count.Load() > 0 }

// Paused returns the total time for which reading was paused because the
// receiver had no room.
func (c *Conn) Paused() time.Duration { return c.pause.sum(time.Now()) }

// Jam returns how long the receiver has had no room, ignoring periods of
// reading of up to a second, or 0 if it has room. For a connection that has
// ended it returns the value at its end: the broker may have given up because
// we did not read.
func (c *Conn) Jam() time.Duration {
	if c.dead.Load() {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.jam
	}
	return c.pause.jammed(time.Now())
}

// hold waits until the refused frame may be offered again, the library waits
// for an answer to its PINGREQ, or the connection ends; reading then continues,
// see route. It calls Batch first, because room may depend on what was
// delivered.
func (c *Conn) hold() {
	c.batch()
	if c.pong() {
		return
	}
	c.pause.begin(time.Now())
	select {
	case <-c.resume:
	case <-c.over:
	}
	c.pause.end(time.Now())
	c.pong()
}

// pong answers a PINGREQ of the library in place of the broker, whose answer
// follows data that has not been read yet; without an answer the library would
// close the connection. Meanwhile only TCP detects a dead peer.
func (c *Conn) pong() bool {
	if c.pings.Load() <= 0 {
		return false
	}
	c.pings.Add(-1)
	c.in.ours++
	c.in.rest = []byte{byte(wire.TypePingresp) << 4, 0}
	return true
}

// answered counts a PINGRESP of the broker and reports whether pong has
// answered the library already.
func (c *Conn) answered() bool {
	if c.in.ours > 0 {
		c.in.ours--
		return true
	}
	if c.pings.Load() > 0 {
		c.pings.Add(-1)
	}
	return false
}
