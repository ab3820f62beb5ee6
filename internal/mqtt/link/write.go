package link

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// keepPartial is the size in bytes up to which an assembly buffer is kept for
// the next packet.
const keepPartial = 4 << 10

// Write accepts packets of the library in any pieces and queues complete ones
// before data. It never waits for the socket: the next Read and later Writes
// return an error of the socket. DISCONNECT is queued after waiting data, and
// nothing may follow it.
//
// A packet that the library must not send is refused with a [*FrameError] or
// [*wire.MalformedError], and nothing of it is sent.
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

// take queues the first packet in b and returns its size, or 0 if it is not
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
		c.Resume() // the receiver may make more room for its answer
	}
	if h.Type() == wire.TypeConnect && c.version5() && c.opts.ReceiveMaximum > 0 {
		frame = bytes.Clone(frame) // the original belongs to the library
		if !wire.PatchReceiveMaximum(frame, c.opts.ReceiveMaximum) {
			return 0, refuse(h, ErrUnexpected)
		}
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

// Queue appends a data frame without waiting for the socket. Call Flush or Wake
// to have it written. If the queue is full, ok is false, the frame is not
// queued, and [Receiver.Writable] will be called. A frame that is larger than
// the whole queue is accepted if nothing else waits. On an ended connection
// Queue returns the error that ended it.
//
// A frame of 32 KiB or more is not copied: it must not be changed until its
// acknowledgement shows that it was written, or until [Receiver.Closed]. A
// smaller one may be changed when Queue returns.
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

// QueueAck is like Queue for answers to acknowledgements, which are never
// refused: the window and the Receive Maximum limit their number for a correct
// peer. A peer that causes more than AckLimit bytes of them and does not read
// loses the connection. They keep their order among the data frames. On an
// ended connection QueueAck does nothing, because an acknowledgement is useless
// on another connection. frame may be changed when QueueAck returns.
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

// AcksDue makes the next writer ask the receiver for acknowledgements, and
// wakes the flusher to write. They are written before the data frames and never
// after a DISCONNECT. It never waits.
func (c *Conn) AcksDue() {
	if !c.due.Swap(true) {
		c.Wake()
	}
}

// Flush writes the queued frames on the caller's goroutine, unless another goroutine is
// writing; that one then writes them with its next pass. Flush makes one pass, and the
// flusher writes frames that were queued meanwhile. Do not call it on the reading
// goroutine: it may wait for the socket for up to WriteTimeout.
func (c *Conn) Flush() {
	if c.pass() {
		c.Wake()
	}
}

// Wake makes the flusher write the queued frames. It never waits.
func (c *Conn) Wake() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// closing returns the error of a connection that accepts no more frames. c.mu
// must be held.
func (c *Conn) closing() error {
	if c.err == nil && c.ending {
		return net.ErrClosed
	}
	return c.err
}

// flusher writes when it is woken, and reports room in the queue and the end of
// the connection. It runs on the only goroutine of a Conn.
func (c *Conn) flusher() {
	defer close(c.finished)
	for {
		select {
		case <-c.wake:
			runtime.Gosched() // let other goroutines queue more for the same write
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

// pass writes the frames that are queued at this moment, unless another goroutine is
// writing, and reports whether the flusher has more to write.
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

// drain writes everything that is queued after the end was recorded.
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

// writeQueued takes and writes both queues: control packets, then the
// acknowledgements that are due, then data. c.mu must be held at call and is
// held at return, but not in between.
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

// send writes b in pieces and watches each one separately, so that the time
// limit does not depend on the size of a frame.
func (c *Conn) send(b []byte) error {
	for len(b) > 0 {
		n := min(len(b), writePiece)
		c.watch.begin()
		_, err := c.nc.Write(b[:n])
		c.watch.end()
		if err != nil {
			c.awaitAlert()
			return fmt.Errorf("write: %w", err)
		}
		b = b[n:]
	}
	return nil
}

// alertWait is how long a failed write waits for the reading goroutine.
const alertWait = 200 * time.Millisecond

// awaitAlert lets the reading goroutine end the connection first if a write fails
// before CONNACK. With TLS 1.3 a peer refuses a certificate after the handshake, and
// its alert may be read only after the first write has failed.
func (c *Conn) awaitAlert() {
	if _, secure := c.nc.(*tls.Conn); !secure || c.welcomed.Load() {
		return
	}
	t := time.NewTimer(alertWait)
	defer t.Stop()
	select {
	case <-c.over:
	case <-t.C:
	}
}

// stalled ends the connection because the peer does not read.
func (c *Conn) stalled() {
	_ = c.fail(fmt.Errorf("write: nothing taken within %v: %w", c.opts.WriteTimeout, os.ErrDeadlineExceeded))
}

// trim releases buffers of a burst, and reports whether large ones are left.
func (c *Conn) trim() (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	again = c.writing // a writer has the two others
	for _, o := range []*outbox{&c.control, &c.data, &c.spare[0], &c.spare[1]} {
		again = o.trim() || again
	}
	return again
}

// queued reports whether anything waits to be written. c.mu must be held.
func (c *Conn) queued() bool { return c.control.size+c.data.size > 0 || c.due.Load() && !c.parted }

// offerRoom calls Writable if a queue that refused a frame has room again.
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

// ended waits until lent frames are free and returns the error that ended the
// connection.
func (c *Conn) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.writing {
		c.idle.Wait()
	}
	return c.err
}
