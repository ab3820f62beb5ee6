package link

import (
	"fmt"
	"os"
	"runtime"
)

// flusher writes when it is woken, and reports room and the end. It is the only
// goroutine of a Conn.
func (c *Conn) flusher() {
	defer close(c.finished)
	for {
		select {
		case <-c.wake:
			runtime.Gosched() // who is about to queue more gets into the same write
			for again := true; again; {
				again = c.pass()
				c.offerRoom()
			}
		case <-c.down:
			err := c.ended()
			c.watch.stop()
			c.recv.Closed(err)
			return
		}
	}
}

// pass writes what is queued at this moment, unless somebody else is writing,
// and reports whether the flusher has something left to do.
func (c *Conn) pass() (more bool) {
	c.mu.Lock()
	if c.writing || c.err != nil || !c.queued() {
		c.mu.Unlock()
		return false
	}
	err := c.writeQueued()
	more = c.queued() || c.refused
	c.mu.Unlock()
	if err != nil {
		_ = c.fail(err)
		return false
	}
	return more
}

// drain writes everything that is queued, after the end was recorded.
func (c *Conn) drain() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.idle.Wait()
	}
	for err == nil && c.queued() {
		err = c.writeQueued()
	}
	return err
}

// writeQueued is the writer: it takes both queues and writes them, control
// first and the acknowledgements that are due behind it. c.mu is held at call and return, not in between.
func (c *Conn) writeQueued() error {
	control, data := c.control, c.data
	due := c.due.Swap(false) && !c.parted
	c.parted = c.ending // DISCONNECT is in data
	c.control, c.data = c.spare[0], c.spare[1]
	c.spare = [2]outbox{}
	c.writing = true
	c.mu.Unlock()
	if due {
		control.fill(c.recv.Acks)
	}
	err := control.each(c.send)
	if err == nil {
		err = data.each(c.send)
	}
	control.reset()
	data.reset()
	c.mu.Lock()
	c.spare = [2]outbox{control, data}
	c.writing = false
	c.idle.Broadcast()
	return err
}

// send writes b in pieces, each watched by itself, so that the time it may take
// does not depend on the size of a frame.
func (c *Conn) send(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writePiece)
		c.watch.begin()
		_, err := c.nc.Write(b[:n])
		c.watch.end()
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// stalled ends a connection whose peer does not take what is written.
func (c *Conn) stalled() {
	_ = c.fail(fmt.Errorf("write: nothing taken within %v: %w", c.opts.WriteTimeout, os.ErrDeadlineExceeded))
}

// queued reports whether anything waits to be written. c.mu is held.
func (c *Conn) queued() bool { return c.control.size+c.data.size > 0 || c.due.Load() && !c.parted }

// offerRoom tells the receiver that a queue it found full has room.
func (c *Conn) offerRoom() {
	c.mu.Lock()
	due := c.refused && c.err == nil && c.data.size < c.opts.QueueLimit
	if due {
		c.refused = false
	}
	c.mu.Unlock()
	if due {
		c.recv.Writable()
	}
}

// ended waits until lent frames are free and returns what ended the connection.
func (c *Conn) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.idle.Wait()
	}
	return c.err
}
