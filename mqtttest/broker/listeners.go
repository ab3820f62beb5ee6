package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// acceptPause keeps an accept loop from spinning while the process has no file descriptors
// left. bindTime is how long the previous port of the broker may still be in use by
// connections that are ending.
const (
	acceptPause = 10 * time.Millisecond
	bindTime    = 5 * time.Second
)

// listeners are the addresses of a broker and the connections accepted there. Its methods
// may be called from any goroutine.
type listeners struct {
	max     int // connections at a time
	log     *slog.Logger
	refused *atomic.Int64 // connections above max
	// connect makes a connection, which is then served.
	connect func(via *listener, socket net.Conn) *conn
	wg      sync.WaitGroup // of the accept loops and the connections

	mu      sync.Mutex // guards all below
	list    []*listener
	running bool
	conns   map[*conn]struct{}
}

// begin marks the broker as running, and reports whether it was not running before.
func (l *listeners) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := !l.running
	l.running = true
	for _, one := range l.list {
		one.down = one.down && !began
	}
	return began
}

// halt closes the addresses and reports whether the broker was running.
func (l *listeners) halt() bool {
	l.mu.Lock()
	ran := l.running
	l.running = false
	l.mu.Unlock()
	l.shut()
	return ran
}

// haltNode closes the addresses of a node, and reports whether it was running.
func (l *listeners) haltNode(node int) (ran bool) {
	var list []opened
	l.mu.Lock()
	for _, one := range l.list {
		if one.node != node {
			continue
		}
		ran = ran || (l.running && !one.down)
		one.down = true
		if one.open != nil {
			list = append(list, opened{by: one, socket: one.open})
			one.open = nil
		}
	}
	l.mu.Unlock()
	closeAll(list)
	return ran
}

// raiseNode lets open open the addresses of a node.
func (l *listeners) raiseNode(node int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.list {
		one.down = one.down && one.node != node
	}
}

// nodeURL returns the plain address of a node, or "".
func (l *listeners) nodeURL(node int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.list {
		if one.node == node && one.scheme == "mqtt" {
			return one.url()
		}
	}
	return ""
}

// address returns host:port of the plain listener.
func (l *listeners) address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list[0].address
}

// url returns the address of the first listener of a scheme, or "" if there is none.
func (l *listeners) url(scheme string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range l.list {
		if one.scheme == scheme {
			return one.url()
		}
	}
	return ""
}

// open opens the addresses if the broker is running and they are closed.
func (l *listeners) open() error {
	deadline := time.Now().Add(bindTime)
	for {
		err := l.tryOpen()
		if err == nil || !l.bound() || time.Now().After(deadline) {
			return err
		}
		<-time.After(acceptPause)
	}
}

// bound reports whether the broker has used its ports before.
func (l *listeners) bound() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.list[0].was
}

// opened is the result of net.Listen for a listener.
type opened struct {
	by      *listener
	address string
	socket  net.Listener
}

// tryOpen opens all closed addresses, or none.
func (l *listeners) tryOpen() error {
	list := l.closed()
	for i := range list {
		var err error
		if list[i].socket, err = net.Listen("tcp", list[i].address); err != nil {
			closeAll(list[:i])
			return fmt.Errorf("broker: %w", err)
		}
	}
	closeAll(l.install(list))
	return nil
}

// closed returns the listeners that need to be opened.
func (l *listeners) closed() (list []opened) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		return nil
	}
	for _, one := range l.list {
		if one.open == nil && !one.down {
			list = append(list, opened{by: one, address: one.address})
		}
	}
	return list
}

// install begins to accept connections. It returns the listeners that are no longer wanted,
// because the broker was stopped meanwhile or another call has opened the address.
func (l *listeners) install(list []opened) (unwanted []opened) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range list {
		if !l.running || o.by.down || o.by.open != nil {
			unwanted = append(unwanted, o)
			continue
		}
		o.by.open, o.by.address, o.by.was = o.socket, o.socket.Addr().String(), true
		l.wg.Go(func() { l.accept(o) })
	}
	return unwanted
}

// shut closes the addresses. Connections are not affected.
func (l *listeners) shut() {
	var list []opened
	l.mu.Lock()
	for _, one := range l.list {
		if one.open != nil {
			list = append(list, opened{by: one, socket: one.open})
			one.open = nil
		}
	}
	l.mu.Unlock()
	closeAll(list)
}

func closeAll(list []opened) {
	for _, o := range list {
		_ = o.socket.Close()
	}
}

// accept accepts connections until the address is closed.
func (l *listeners) accept(o opened) {
	for {
		socket, err := o.socket.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.log.Warn("broker: accept", "address", o.socket.Addr().String(), "error", err)
			<-time.After(acceptPause)
			continue
		}
		if c := l.connect(o.by, socket); !l.admit(c) {
			c.close()
		}
	}
}

// admit serves a connection. It returns false if there are too many, or if the broker is
// stopping.
func (l *listeners) admit(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running || c.via.down {
		return false
	}
	if len(l.conns) >= l.max {
		l.refused.Add(1)
		return false
	}
	l.conns[c] = struct{}{}
	l.wg.Go(func() {
		c.serve()
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.conns, c)
	})
	return true
}

// each calls f for every connection.
func (l *listeners) each(f func(*conn)) {
	l.mu.Lock()
	list := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, c := range list {
		f(c)
	}
}

// chosen calls f for the connections of these clients that have not ended, or of
// all clients if none are named, and returns how many there were.
func (l *listeners) chosen(clientIDs []string, f func(*conn)) (n int) {
	l.each(func(c *conn) {
		if c.isClosed() {
			return // it ends
		}
		id := c.name.Load()
		if len(clientIDs) == 0 || (id != nil && slices.Contains(clientIDs, *id)) {
			n++
			f(c)
		}
	})
	return n
}
