package link

import (
	"errors"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// ErrBusy is what [Receiver.Frame] returns for a frame that it has no room for.
// The frame is kept, nothing more is read from the socket, and the same frame is
// offered again after [Conn.Resume].
var ErrBusy = errors.New("no room for the frame")

// jamGap is how long after a pause the next one still belongs to the same jam.
const jamGap = time.Second

// pauses are the times in which the receiver had no room.
type pauses struct {
	mu    sync.Mutex
	since time.Time     // the pause that goes on began; zero: none
	last  time.Time     // the one before ended
	jam   time.Time     // the first of those that follow each other closely
	total time.Duration // of those that ended
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

// Resume has the frame offered again that [ErrBusy] left waiting. It never
// waits, and may be called at any time and more often than needed.
func (c *Conn) Resume() {
	select {
	case c.resume <- struct{}{}:
	default:
	}
}

// Asked reports whether a SUBSCRIBE or UNSUBSCRIBE waits for its answer, which
// comes behind whatever is not read yet.
func (c *Conn) Asked() bool { return c.asked.count.Load() > 0 }

// Paused returns for how long nothing was read so far, in total, because the
// receiver had no room.
func (c *Conn) Paused() time.Duration { return c.pause.sum(time.Now()) }

// Jam returns for how long the receiver has had no room again and again, with
// no more than a second of reading in between; 0 when it has. Of a connection
// that ended it is how that was then: a broker may have given up on a write
// that we did not read.
func (c *Conn) Jam() time.Duration {
	if c.dead.Load() {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.jam
	}
	return c.pause.jammed(time.Now())
}

// hold waits until the frame that was refused may be offered again, or the
// library wants an answer to its PINGREQ, or the connection ends: then reading
// goes on, see route. What was collected is handed over first, since nothing
// else would make room.
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

// pong answers a PINGREQ of the library in the broker's place: the broker's
// answer is behind what is not read yet, and without one the library would give
// the connection up. Whether the peer lives is left to TCP meanwhile.
func (c *Conn) pong() bool {
	if c.pings.Load() <= 0 {
		return false
	}
	c.pings.Add(-1)
	c.in.ours++
	c.in.rest = []byte{byte(wire.TypePingresp) << 4, 0}
	return true
}

// answered notes a PINGRESP of the broker, and reports whether the library has
// had its answer already.
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
