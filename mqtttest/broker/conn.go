package broker

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// conn is one connection. Its reading goroutine owns all fields that are not marked as
// guarded.
type conn struct {
	stream

	core     *core
	script   *script
	number   int
	in       frames
	due      time.Time              // deadline of the CONNECT
	connect  *connect               // nil until it has arrived
	half     *handshake             // of a CONNECT whose authentication is not finished
	again    Exchange               // of a re-authentication
	version  byte                   // 4 until CONNECT has arrived
	name     atomic.Pointer[string] // clientID, for any goroutine
	departed chan struct{}          // closed when the core's state no longer refers to the connection

	// Guarded by the core's mutex.
	clientID string
	session  *session
	dead     bool // no longer served
	quota    int  // deliveries in flight
	aliases  map[uint16]string
	polite   bool
	acted    acted
}

func newConn(core *core, script *script, via *listener, raw net.Conn) *conn {
	c := &conn{core: core, script: script, version: 4, departed: make(chan struct{})}
	c.via, c.raw, c.closed = via, raw, make(chan struct{})
	c.traffic, c.frozen = &core.traffic, &script.frozen
	core.locked(func() {
		core.counts.Connections++
		c.number, c.journal = int(core.counts.Connections), core.record.journal
	})
	c.in = frames{r: c, max: core.options.maxPacket}
	c.out.init(c.journal.position)
	return c
}

// serve runs the connection until it ends.
func (c *conn) serve() {
	defer c.close()
	if err := c.open(); err != nil {
		c.core.options.log.Debug("broker: handshake", "remote", c.raw.RemoteAddr().String(), "error", err)
		return
	}
	var writer sync.WaitGroup
	writer.Go(c.write)
	err := c.receive()
	c.core.locked(func() { c.depart(err) })
	close(c.departed)
	if c.out.last() && !errors.Is(err, errGone) {
		c.drain()
	}
	c.close()
	writer.Wait()
}

// receive handles packets until the first error.
func (c *conn) receive() error {
	for {
		if !c.awaitReading() {
			return errDead
		}
		p, err := c.in.next()
		if err == nil {
			err = c.arrived(p)
		}
		if err != nil {
			return err
		}
		c.awaitRoom()
		for c.sendRetained() {
			c.awaitRoom()
		}
	}
}

// sendRetained continues sending the retained messages that the session's subscriptions
// wait for, including those of a previous connection. It returns true if there are more.
func (c *conn) sendRetained() (more bool) {
	c.core.locked(func() {
		if !c.dead && c.session != nil && len(c.session.unsent) > 0 {
			more = c.core.sendRetained(c.session)
		}
	})
	return more
}

// Read reads bytes of packets within the time that the keep-alive allows [MQTT-3.1.2-22].
func (c *conn) Read(p []byte) (int, error) {
	if c.due.IsZero() {
		c.due = time.Now().Add(connectTimeout)
	}
	wait := max(1, time.Until(c.due)) // even if part of the CONNECT has arrived
	if c.connect != nil {
		wait = c.connect.keepAlive * 3 / 2
	}
	n, err := c.read(p, wait)
	if n > 0 && c.connect == nil && c.half == nil && c.in.end == 0 && PacketType(p[0]>>4) != Connect {
		return 0, breach("a stream that does not begin with CONNECT") // before its rest is waited for
	}
	return n, err
}

// succeed lets the previous connection of the client, if any, finish: a client can publish,
// disconnect and connect again before the broker has read any of it. A connection that does
// not end by itself is ended by [conn.welcome].
func (c *conn) succeed(clientID string) {
	var old *conn
	c.core.locked(func() {
		if s := c.core.sessions[c.core.cluster.key(clientID, c.via.node)]; s != nil {
			old = s.conn
		}
	})
	if old == nil || old.held() || old.frozen.shut.Load() {
		return
	}
	old.supersede()
	patience := time.NewTimer(2 * takeoverTime)
	defer patience.Stop()
	select {
	case <-old.departed:
	case <-patience.C:
	case <-c.closed:
	}
}

// depart removes the connection from the core's state.
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
