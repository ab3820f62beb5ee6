package link

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// keepPartial is the largest assembly buffer in bytes that is kept for the
// next packet.
const keepPartial = 4 << 10

// Write takes packets of the library, in any pieces, and queues the complete
// ones ahead of data. It never waits for the socket: an error of the socket is
// reported by the next Read and by later Writes. DISCONNECT goes behind the
// data that is queued already, and nothing may follow it.
//
// A packet that the library should not send is refused, and nothing of it is
// sent: [*FrameError] or [*wire.MalformedError].
func (c *Conn) Write(p []byte) (int, error) {
	c.assembly.Lock()
	defer c.assembly.Unlock()
	if err := c.Err(); err != nil {
		return 0, err
	}
	data := p
	if len(c.partial) > 0 {
		c.partial = append(c.partial, p...)
		data = c.partial
	}
	defer c.Wake()
	for len(data) > 0 {
		size, err := c.take(data)
		if err != nil {
			c.partial = nil
			return 0, err
		}
		if size == 0 {
			break
		}
		data = data[size:]
	}
	c.partial = append(c.partial[:0], data...)
	if len(c.partial) == 0 && cap(c.partial) > keepPartial {
		c.partial = nil
	}
	return len(p), nil
}

// take queues the first packet in b and returns its size, 0 when it is not
// complete.
func (c *Conn) take(b []byte) (int, error) {
	if err := c.checkOutbound(b[0]); err != nil {
		return 0, err
	}
	h, ok, err := wire.ParseHeader(b)
	if err != nil || !ok {
		return 0, err
	}
	if h.Total() > controlBacklog {
		return 0, refuse(h, ErrTooLarge)
	}
	if len(b) < h.Total() {
		return 0, nil
	}
	frame := b[:h.Total()]
	if t := h.Type(); t == wire.TypeSubscribe || t == wire.TypeUnsubscribe {
		if err := c.asked.note(c.opts.Version, h, frame[h.Size:]); err != nil {
			return 0, err
		}
		c.Resume() // its answer may be worth more room
	}
	if h.Type() == wire.TypePingreq {
		c.pings.Add(1)
		defer c.Resume()
	}
	return len(frame), c.queueControl(h, frame)
}

func (c *Conn) queueControl(h wire.Header, frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.ending:
		return net.ErrClosed
	case h.Type() == wire.TypeDisconnect:
		c.ending = true // [MQTT-3.14.4-2]
		c.data.add(frame)
	case c.control.size+len(frame) > controlBacklog:
		return refuse(h, ErrBacklog)
	default:
		c.control.add(frame)
	}
	return nil
}

// Queue puts a data frame behind those queued before, without waiting for the
// socket. Call Flush or Wake to have it written. ok is false when the queue is
// full: nothing was taken, and Writable will be called. A frame that is larger
// than the whole queue is taken when nothing else waits. The error is that of
// an ended connection.
//
// A frame of 32 KiB or more is not copied: it must not be changed until its
// acknowledgement shows that it was written, or until Closed. Smaller ones are
// free when Queue returns.
func (c *Conn) Queue(frame []byte) (ok bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.closing(); err != nil {
		return false, err
	}
	if c.data.size > 0 && c.data.size+len(frame) > c.opts.QueueLimit {
		c.refused = true
		return false, nil
	}
	if len(frame) >= lendSize {
		c.data.lend(frame)
	} else {
		c.data.add(frame)
	}
	return true, nil
}

// QueueAck is Queue for answers to acknowledgements, which are never refused: the
// window and Receive Maximum bound those of a peer that keeps to them. One that has
// more than AckLimit to answer and does not read the answers loses the connection.
// They keep their order among the data frames. On an ended connection it does nothing,
// since an acknowledgement is worth nothing on another one. frame is free when
// QueueAck returns.
func (c *Conn) QueueAck(frame []byte) {
	c.mu.Lock()
	full := false
	if c.closing() == nil {
		if full = c.data.acks+len(frame) > c.opts.AckLimit; !full {
			c.data.add(frame)
			c.data.acks += len(frame)
		}
	}
	c.mu.Unlock()
	if full {
		_ = c.fail(&FrameError{Type: wire.Type(frame[0] >> 4), Size: len(frame), Err: ErrBacklog})
	}
}

// AcksDue has the next writer ask the receiver for acknowledgements, and wakes the
// flusher for that. They leave ahead of the data frames, and never behind a
// DISCONNECT. It never waits.
func (c *Conn) AcksDue() {
	if !c.due.Swap(true) {
		c.Wake()
	}
}

// Flush writes what is queued on the caller's goroutine if nobody else is
// writing: one pass, and what came meanwhile is left to the flusher. Otherwise
// the frames leave with the next pass of whoever writes. Not for the reading
// goroutine: it may wait for the socket, up to WriteTimeout.
func (c *Conn) Flush() {
	if c.pass() {
		c.Wake()
	}
}

// Wake has the flusher write what is queued. It never waits.
func (c *Conn) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// closing is the error of a connection that takes no more frames. c.mu is held.
func (c *Conn) closing() error {
	if c.err == nil && c.ending {
		return net.ErrClosed
	}
	return c.err
}

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
