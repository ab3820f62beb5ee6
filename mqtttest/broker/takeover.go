package broker

import (
	"errors"
	"time"
)

const (
	lastWords    = 2 * time.Millisecond   // of silence end a connection that is taken over
	takeoverTime = 100 * time.Millisecond // and so does this in any case
)

var errTakenOver = errors.New("taken over by another connection of the client")

// succeed lets the connection that the client had before, if any, come to its
// end: a client can publish, say goodbye and connect again before the broker has
// read any of it. One that does not end by itself is ended by [conn.welcome].
func (c *conn) succeed(clientID string) {
	var old *conn
	c.b.locked(func() {
		if s := c.b.sessions[clientID]; s != nil {
			old = s.conn
		}
	})
	if old == nil || old.reading.shut.Load() || old.writing.shut.Load() || c.b.frozen.shut.Load() {
		return
	}
	until := time.Now().Add(takeoverTime)
	old.superseded.Store(&until)
	_ = old.socket.SetReadDeadline(time.Now().Add(lastWords))
	patience := time.NewTimer(2 * takeoverTime)
	defer patience.Stop()
	select {
	case <-old.departed:
	case <-patience.C:
	case <-c.closed:
	}
}

// deadline of the next read.
func (c *conn) deadline(wait time.Duration) (d time.Time) {
	if wait > 0 {
		d = time.Now().Add(wait)
	}
	if until := c.superseded.Load(); until != nil {
		if d = time.Now().Add(lastWords); d.After(*until) {
			d = *until
		}
	}
	return d
}
