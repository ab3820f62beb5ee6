package link

import (
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// Conn is a connection to a broker with the message frames taken out: the
// net.Conn of the control-plane library on one side, the data plane's queue on
// the other. One goroutine reads; everything else may be called concurrently.
// It must be closed, with Close or Abort or by an error, to end its goroutine.
//
// Lock and Unlock are for the library, which takes them around a packet that
// it writes in several parts. Write has a lock of its own, because not every
// library does so.
type Conn struct {
	nc   net.Conn
	recv Receiver
	opts Options

	library sync.Mutex    // Lock and Unlock
	reading chan struct{} // a token, held in Read
	in      inbound
	asked   requests
	pings   atomic.Int32           // PINGREQs of the library without an answer
	probe   atomic.Pointer[func()] // what waits for the answer to Ping
	pause   pauses                 // of reading
	resume  chan struct{}          // the frame that waits may be offered again

	assembly sync.Mutex // guards partial
	partial  []byte     // begin of a packet of the library

	mu      sync.Mutex    // guards what follows; never held during I/O or a callback
	control outbox        // the library's frames, ahead of data
	data    outbox        // the engine's frames, in call order
	spare   [2]outbox     // emptied ones, for the next pass
	writing bool          // somebody is the writer
	idle    sync.Cond     // writing became false
	refused bool          // Queue said no: Writable is due
	ending  bool          // DISCONNECT is queued: nothing may follow it
	parted  bool          // a writer has it
	err     error         // what ended the connection, nil while it lives
	jam     time.Duration // when it ended

	watch    *watchdog     // of the writer
	due      atomic.Bool   // acknowledgements wait with the receiver
	dead     atomic.Bool   // err is set
	wake     chan struct{} // tells the flusher that there is work
	over     chan struct{} // err is set
	down     chan struct{} // the socket is closed
	finished chan struct{} // Closed has returned
}

var (
	_ net.Conn    = (*Conn)(nil)
	_ sync.Locker = (*Conn)(nil)
)

// New takes over nc and starts the goroutine that flushes.
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
	c.watch = newWatchdog(o.WriteTimeout, c.stalled)
	go c.flusher()
	return c
}

// Close writes what is queued, after a DISCONNECT waits until the peer has read
// it, closes the connection and returns. It takes at most one second, or
// WriteTimeout if that is shorter. Closed follows. When the
// connection has ended already, Close waits for the socket to be closed, and
// that is all. The error is that of the last write.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		<-c.down
		return nil
	}
	goodbye := c.ending
	if c.pings.Load() > 0 && !goodbye { // how the library for MQTT 3.1.1 says so
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

// Abort closes the connection at once; what is queued is lost. err is what
// Closed and later calls report, unless the connection has ended before; nil
// stands for net.ErrClosed.
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

// Done is closed when the connection has ended and Closed has returned.
func (c *Conn) Done() <-chan struct{} { return c.finished }

// Err is what ended the connection, nil while it lives.
func (c *Conn) Err() error {
	if !c.dead.Load() {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Lock keeps other packets of the library out of a packet that is written in
// parts. It does not touch the engine's frames.
func (c *Conn) Lock() { c.library.Lock() }

// Unlock ends what Lock began.
func (c *Conn) Unlock() { c.library.Unlock() }

// LocalAddr is that of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr is that of the socket.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline sets the read deadline only, see SetWriteDeadline.
func (c *Conn) SetDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetReadDeadline sets the socket's. A read that runs into it ends the
// connection.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.nc.SetReadDeadline(t) }

// SetWriteDeadline does nothing: every write is watched, see WriteTimeout, and
// a deadline set for a packet of the library would hit frames of the engine.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }

// end records why the connection ended. c.mu is held.
func (c *Conn) end(err error) {
	c.err, c.jam = err, c.pause.jammed(time.Now())
	c.dead.Store(true)
	close(c.over)
}

// fail ends the connection because of err and returns what ended it first.
// It leaves a connection alone that Close is just emptying.
func (c *Conn) fail(err error) error {
	if !c.dead.Load() {
		c.Abort(err)
	}
	return c.Err()
}

// closeNow closes without the goodbye of TLS and WebSocket, which can wait for
// seconds for a peer that does not read.
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

// linger leaves the socket open until the peer has closed its side, which it
// does when it has read our DISCONNECT. A broker that still answers what came
// before would run into a closed socket, and some throw away the rest then:
// acknowledgements and the DISCONNECT itself, so that they publish the will.
// over ends the wait: for the peer, and for a reading goroutine that may be the
// one that called Close.
func (c *Conn) linger(over <-chan struct{}) {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	select {
	case c.reading <- struct{}{}: // a library that reads goes on until the end
		defer func() { <-c.reading }()
	case <-over:
		return
	}
	var rest [512]byte
	for err := error(nil); err == nil; {
		_, err = c.nc.Read(rest[:])
	}
}

// Ping asks the broker for a sign of life on the engine's own account, and calls
// answered on the reading goroutine when it comes: the link has then carried a
// packet there and one back. The library sees nothing of it. One may be under way
// at a time. Call Flush or Wake to have it written. On an ended connection it does
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

// checkInbound judges a packet of the broker by its fixed header, before its
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
		// First of all packets [MQTT-3.2.0-1], and only once [MQTT-3.2.0-2].
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
		// Not before CONNACK [MQTT-3.14.0-1], but for an exchange of AUTH.
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

// checkOutbound judges a packet of the library by its first byte: message
// frames from there are a mistake, the engine writes them.
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
