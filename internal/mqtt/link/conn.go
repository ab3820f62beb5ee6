package link

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Conn is a connection to a broker. It separates message frames from all other
// packets: the control library uses it as its net.Conn, the data plane queues
// frames with Queue. Only one goroutine may read; all other methods are safe
// for concurrent use. A Conn ends with Close, Abort or an error; until then it
// keeps a goroutine running.
//
// Lock and Unlock are for the control library, which calls them around a packet
// that it writes in several parts. Write has its own lock, because not every
// library does so.
type Conn struct {
	nc   net.Conn
	recv Receiver
	opts Options

	library  sync.Mutex    // for Lock and Unlock
	reading  chan struct{} // a semaphore, held during Read
	in       inbound
	asked    requests
	pings    atomic.Int32           // unanswered PINGREQs of the library
	welcomed atomic.Bool            // CONNACK has been received, for other goroutines
	probe    atomic.Pointer[func()] // callback for the answer to Ping
	pause    pauses                 // pauses in reading
	resume   chan struct{}          // signals that the held frame may be offered again

	assembly sync.Mutex // guards partial
	partial  []byte     // beginning of a packet of the library

	mu      sync.Mutex    // guards the following fields; never held during I/O or a callback
	control outbox        // the library's frames, written before data
	data    outbox        // the data plane's frames, in the order of the calls
	spare   [2]outbox     // empty ones for the next pass
	writing bool          // a goroutine is writing
	idle    sync.Cond     // signalled when writing becomes false
	refused bool          // Queue returned false: Writable is due
	ending  bool          // DISCONNECT is queued: nothing may follow it
	parted  bool          // a writer has taken DISCONNECT
	err     error         // what ended the connection, or nil
	jam     time.Duration // length of the jam when the connection ended

	watch    *watchdog     // of the writing goroutine
	due      atomic.Bool   // acknowledgements wait in the receiver
	dead     atomic.Bool   // err is set
	wake     chan struct{} // wakes the flusher
	over     chan struct{} // closed when err is set
	down     chan struct{} // closed when the socket is closed
	finished chan struct{} // closed when Closed has returned
}

var (
	_ net.Conn    = (*Conn)(nil)
	_ sync.Locker = (*Conn)(nil)
)

// New takes over nc and starts the flusher goroutine.
func New(nc net.Conn, r Receiver, o Options) *Conn {
	o = o.withDefaults()
	c := &Conn{
		nc: nc, recv: r, opts: o,
		in:       inbound{buf: make([]byte, min(firstBuffer, o.ReadBuffer))},
		asked:    requests{open: make(map[request]int)},
		reading:  make(chan struct{}, 1),
		resume:   make(chan struct{}, 1),
		wake:     make(chan struct{}, 1),
		over:     make(chan struct{}),
		down:     make(chan struct{}),
		finished: make(chan struct{}),
	}
	c.idle.L = &c.mu
	c.watch = newWatchdog(o.WriteTimeout, c.stalled, c.trim)
	go c.flusher()
	return c
}

// Close writes what is queued, closes the connection and waits until the socket
// is closed. If a DISCONNECT is queued it also waits until the peer has read
// it. It takes at most one second, or WriteTimeout if that is shorter.
// [Receiver.Closed] is called afterwards. Close returns the error of the last
// write. On a connection that has already ended it only waits for the socket to
// be closed.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		<-c.down
		return nil
	}
	goodbye := c.ending
	if c.pings.Load() > 0 && !goodbye { // the MQTT 3.1.1 library closes this way after a missing PINGRESP
		c.end(ErrNoPingresp)
	} else {
		c.end(net.ErrClosed)
	}
	c.mu.Unlock()

	over := make(chan struct{})
	bound := time.AfterFunc(min(closeTimeout, c.opts.WriteTimeout), func() {
		close(over)
		_ = closeNow(c.nc)
	})
	defer bound.Stop()
	err := c.drain()
	if err == nil && goodbye {
		c.linger(over)
	}
	_ = c.nc.Close()
	close(c.down)
	return err
}

// Abort closes the connection at once and drops what is queued. Unless the
// connection has already ended, err is passed to [Receiver.Closed] and returned
// by later calls; nil stands for net.ErrClosed.
func (c *Conn) Abort(err error) {
	if err == nil {
		err = net.ErrClosed
	}
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.end(err)
	}
	c.mu.Unlock()
	_ = closeNow(c.nc)
	if first {
		close(c.down)
	}
}

// Done returns a channel that is closed when the connection has ended and
// [Receiver.Closed] has returned.
func (c *Conn) Done() <-chan struct{} { return c.finished }

// Err returns the error that ended the connection, or nil if it has not ended.
func (c *Conn) Err() error {
	if !c.dead.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Lock keeps other packets of the library from being written between the parts
// of one packet. It does not affect the data plane's frames.
func (c *Conn) Lock() { c.library.Lock() }

// Unlock releases Lock.
func (c *Conn) Unlock() { c.library.Unlock() }

// LocalAddr returns the local address of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the remote address of the socket.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline sets only the read deadline, see SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetReadDeadline sets the read deadline of the socket. A read that exceeds it
// ends the connection.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetWriteDeadline does nothing. WriteTimeout limits every write, and a
// deadline for a packet of the library would also apply to frames of the data
// plane.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// end records why the connection ended. c.mu must be held.
func (c *Conn) end(err error) {
	c.err, c.jam = err, c.pause.jammed(time.Now())
	c.dead.Store(true)
	close(c.over)
}

// fail ends the connection with err and returns the error that ended it first.
// It does nothing while Close is writing what is queued.
func (c *Conn) fail(err error) error {
	if !c.dead.Load() {
		c.Abort(err)
	}
	return c.Err()
}

// closeNow closes the socket without the closing handshake of TLS and
// WebSocket, which can take seconds if the peer does not read.
func closeNow(nc net.Conn) error {
	switch t := nc.(type) {
	case interface{ abort() error }:
		return t.abort()
	case *tls.Conn:
		return t.NetConn().Close()
	}
	return nc.Close()
}

// version5 reports whether the connection speaks MQTT 5.
func (c *Conn) version5() bool { return c.opts.Version == wire.V5 }

// linger keeps the socket open until the peer has closed its side, which it
// does after reading DISCONNECT. If a broker writes an answer to a socket that
// is already closed, some discard what they have not read yet, including
// acknowledgements and the DISCONNECT itself, and then publish the will. linger
// stops waiting when over is closed, because the peer may not close and the
// caller of Close may be the reading goroutine.
func (c *Conn) linger(over <-chan struct{}) {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	select {
	case c.reading <- struct{}{}: // a library that is reading continues until the end
		defer func() { <-c.reading }()
	case <-over:
		return
	}
	var rest [512]byte
	for err := error(nil); err == nil; {
		_, err = c.nc.Read(rest[:])
	}
}

// Ping sends a PINGREQ of the data plane and calls answered on the reading
// goroutine when the PINGRESP arrives, which shows that the link works in both
// directions. The library sees neither packet. Only one Ping may be pending at
// a time. Call Flush or Wake to have it written. On an ended connection it does
// nothing.
func (c *Conn) Ping(answered func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing() != nil {
		return
	}
	c.probe.Store(&answered)
	c.control.add([]byte{byte(wire.TypePingreq) << 4, 0})
}

// Control sends a control packet that the library does not know of. On an ended
// connection it does nothing.
func (c *Conn) Control(frame []byte) {
	c.mu.Lock()
	if c.closing() == nil {
		c.control.add(frame)
	}
	c.mu.Unlock()
	c.Wake()
}

// checkInbound checks the fixed header of a packet from the broker before its
// body is read.
func (c *Conn) checkInbound(h wire.Header) error {
	if err := h.Validate(); err != nil {
		return err
	}
	if c.version5() {
		if err := h.CheckShortest(); err != nil {
			return err
		}
	}
	limit := c.opts.MaxPacketSize
	switch t := h.Type(); t {
	case wire.TypePublish, wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp:
		if !c.in.greeted {
			return refuse(h, ErrUnexpected)
		}
	case wire.TypeConnack:
		// CONNACK is the first packet [MQTT-3.2.0-1] and is sent only once
		// [MQTT-3.2.0-2].
		if c.in.greeted {
			return refuse(h, ErrUnexpected)
		}
		limit = min(limit, controlLimit)
	case wire.TypeSuback, wire.TypeUnsuback, wire.TypePingresp:
		if !c.in.greeted {
			return refuse(h, ErrUnexpected)
		}
		limit = min(limit, controlLimit)
	case wire.TypeDisconnect, wire.TypeAuth:
		// Not before CONNACK [MQTT-3.14.0-1], except during an AUTH exchange.
		if !c.version5() || (!c.in.greeted && t != wire.TypeAuth) {
			return refuse(h, ErrUnexpected)
		}
		limit = min(limit, controlLimit)
	default:
		return refuse(h, ErrUnexpected)
	}
	if h.Total() > limit && !c.oversized(h) {
		return refuse(h, ErrTooLarge)
	}
	return nil
}

// checkOutbound checks the first byte of a packet of the library, which must
// not write message frames: the data plane does.
func (c *Conn) checkOutbound(first byte) error {
	switch t := wire.Type(first >> 4); t {
	case wire.TypeConnect, wire.TypeSubscribe, wire.TypeUnsubscribe, wire.TypePingreq, wire.TypeDisconnect:
		return nil
	case wire.TypeAuth:
		if c.version5() {
			return nil
		}
	}
	return &FrameError{Type: wire.Type(first >> 4), Err: ErrUnexpected}
}
