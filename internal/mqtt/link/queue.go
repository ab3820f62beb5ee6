package link

import (
	"net"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

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
