package broker

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connectTimeout = 10 * time.Second // for the CONNECT after the connection
	partingTime    = time.Second      // for a client to read what was last sent to it
)

// conn is one connection. Its reading goroutine owns it; what is not said to be
// guarded otherwise belongs to that goroutine.
type conn struct {
	b       *Broker
	number  int
	via     *listener
	raw     net.Conn // as accepted
	socket  net.Conn // the stream of MQTT inside it, see [listener.handshake]
	in      frames
	out     out
	journal *journal // of the broker, as long as the connection lasts
	once    sync.Once
	closed  chan struct{}
	// superseded is until when it may still be read from, once another
	// connection of the client takes its place; departed is closed when it has
	// no part in the broker's state any more.
	superseded atomic.Pointer[time.Time]
	departed   chan struct{}
	parting    atomic.Bool // the stream to the client has ended

	acted

	arrival time.Time // of the bytes that are treated
	connect *connect
	version byte

	// Guarded by the broker's mutex.
	session  *session
	dead     bool // takes part in nothing any more
	quota    int  // deliveries in flight
	aliases  map[uint16]string
	polite   bool
	clientID string
	name     atomic.Pointer[string] // clientID, for any goroutine
}

func (b *Broker) newConn(via *listener, raw net.Conn, number int) *conn {
	c := &conn{b: b, number: number, via: via, raw: raw, closed: make(chan struct{}), departed: make(chan struct{}), version: 4}
	b.locked(func() { c.journal = b.journal })
	c.in = frames{r: c, max: b.options.maxPacket}
	c.out.init(c.journal.position)
	return c
}

var (
	errCut  = errors.New("cut by a fault")
	errDead = errors.New("connection given up")
	errGone = errors.New("client did not end its stream in time")
)

// serve runs the connection until it ends.
func (c *conn) serve() {
	defer c.close()
	if err := c.handshake(); err != nil {
		c.b.options.log.Debug("broker: handshake", "remote", c.raw.RemoteAddr().String(), "error", err)
		return
	}
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.read()
	c.b.locked(func() { c.depart(err) })
	close(c.departed)
	if c.out.last() && !errors.Is(err, errGone) {
		c.drain()
	}
	c.close()
	writer.Wait()
}

// handshake makes the stream of MQTT.
func (c *conn) handshake() (err error) {
	if err := c.raw.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	if c.socket, err = c.via.handshake(c.raw); err != nil {
		return err
	}
	return c.raw.SetDeadline(time.Time{})
}

// read handles packets until the first error.
func (c *conn) read() error {
	for {
		if !c.reading.wait(c.closed) || !c.b.frozen.wait(c.closed) {
			return errDead
		}
		p, err := c.in.next()
		if err == nil {
			err = c.arrived(p)
		}
		if err != nil {
			return err
		}
		c.out.awaitRoom(c.closed)
		c.journal.awaitRoom(c.closed)
	}
}

// Read reads from the socket, within the time that the keep-alive allows
// [MQTT-3.1.2-22].
func (c *conn) Read(p []byte) (int, error) {
	wait := connectTimeout
	if c.connect != nil {
		wait = c.connect.keepAlive * 3 / 2
	}
	if err := c.socket.SetReadDeadline(c.deadline(wait)); err != nil {
		return 0, err
	}
	if c.superseded.Load() != nil { // while it was set
		_ = c.socket.SetReadDeadline(c.deadline(0))
	}
	if c.parting.Load() {
		_ = c.socket.SetReadDeadline(time.Now().Add(partingTime))
	}
	n, err := c.socket.Read(p)
	c.b.received.Add(int64(n))
	c.arrival = time.Now()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if c.parting.Load() {
			return 0, errGone
		}
		if c.superseded.Load() != nil {
			return 0, errTakenOver
		}
		if !c.reading.wait(c.closed) || !c.b.frozen.wait(c.closed) {
			return 0, errDead
		}
		return n, &violation{reasonKeepAlive, "keep alive"}
	}
	if !c.reading.wait(c.closed) || !c.b.frozen.wait(c.closed) {
		return 0, errDead
	}
	if n > 0 && c.connect == nil && c.in.end == 0 && PacketType(p[0]>>4) != Connect {
		return 0, breach("a stream that does not begin with CONNECT") // before its rest is waited for
	}
	return n, err
}

// depart takes the connection out of the broker's state.
func (c *conn) depart(err error) {
	if c.dead {
		return
	}
	var v *violation
	switch {
	case errors.As(err, &v):
		c.refuseFurther(v.code)
	case errors.Is(err, errLarge):
		c.refuseFurther(reasonPacketTooLarge)
	case errors.Is(err, errHeader):
		c.refuseFurther(reasonMalformed)
	case errors.Is(err, errTakenOver):
		c.goodbye(reasonTakenOver) // [MQTT-3.1.4-3]
	}
	c.dead = true
	if c.session != nil {
		c.session.detach(c.polite)
	}
}

// refuseFurther tells a client of MQTT 5 why its connection ends.
func (c *conn) refuseFurther(code byte) {
	c.b.counts.Violations++
	if c.connect != nil && c.version == 5 {
		c.end([]byte{byte(Disconnect) << 4, 1, code})
	}
}

// goodbye ends the connection in order; a client of MQTT 5 is told a code that
// is not 0.
func (c *conn) goodbye(code byte) {
	if c.version == 5 && code != 0 {
		c.end([]byte{byte(Disconnect) << 4, 1, code})
		return
	}
	c.out.put(nil, 0, fin)
}

// end sends a last packet.
func (c *conn) end(packet []byte) {
	c.send(packet)
	c.out.put(nil, 0, fin)
}

// drain lets the client read what was last sent: closing a socket with unread
// bytes would reset it.
func (c *conn) drain() {
	_ = c.socket.SetReadDeadline(time.Now().Add(partingTime))
	b := make([]byte, 4096)
	for {
		if _, err := c.socket.Read(b); err != nil {
			return
		}
	}
}

// write writes what the broker sends until the connection ends.
func (c *conn) write() {
	for {
		chunk, ok := c.out.take(c.closed)
		if !ok || !c.sleep(time.Until(chunk.due)) || !c.writing.wait(c.closed) || !c.b.frozen.wait(c.closed) ||
			!c.journal.wait(chunk.after, c.closed) {
			return
		}
		n, err := c.socket.Write(chunk.b)
		c.b.sent.Add(int64(n))
		if err != nil {
			c.close()
			return
		}
		if chunk.end == fin {
			c.finish()
			return
		}
		c.out.wrote(chunk)
	}
}

// finish ends the stream to the client and gives it time to do the same.
func (c *conn) finish() {
	c.parting.Store(true)
	_ = c.socket.SetReadDeadline(time.Now().Add(partingTime))
	if half, ok := c.socket.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

func (c *conn) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-c.closed:
		return false
	}
}

func (c *conn) close() {
	c.once.Do(func() {
		close(c.closed)
		_ = c.raw.Close()
	})
}

func (c *conn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// reset cuts the connection: RST.
func (c *conn) reset() {
	c.once.Do(func() {
		close(c.closed)
		if tcp, ok := c.raw.(interface{ SetLinger(sec int) error }); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.raw.Close()
	})
}
