package broker

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// ErrNotLoopback is wrapped by the error of [Listen] when an address can be
// reached from other machines and [AllowNonLoopback] is not given.
var ErrNotLoopback = errors.New("not a loopback address")

// acceptPause keeps an accept loop from spinning while the process is out of
// file descriptors, and bindTime is how long a port that the broker had before
// may still be taken by connections that end.
const (
	acceptPause = 10 * time.Millisecond
	bindTime    = 5 * time.Second
)

// listener is one address on which the broker listens. The broker's mutex
// listen guards what changes.
type listener struct {
	scheme  string // mqtt, mqtts, ws or wss
	address string
	tls     *tls.Config
	was     bool         // the address has the port that it will keep
	open    net.Listener // nil while it is closed
}

// validate checks the address and replaces it by the resolved one, so that what
// was checked is what is opened.
func (l *listener) validate(anywhere bool) error {
	address, err := net.ResolveTCPAddr("tcp", l.address)
	switch {
	case err != nil:
		return fmt.Errorf("address %q: %w", l.address, err)
	case !anywhere && !address.IP.IsLoopback():
		return fmt.Errorf("address %q: %w", l.address, ErrNotLoopback)
	case l.scheme == "mqtts" && l.tls == nil:
		return fmt.Errorf("address %q: TLS listener without TLS configuration", l.address)
	}
	l.address = address.String()
	return nil
}

// url is the address that clients dial.
func (l *listener) url() string {
	if strings.HasPrefix(l.scheme, "ws") {
		return l.scheme + "://" + l.address + "/mqtt"
	}
	return l.scheme + "://" + l.address
}

// handshake puts TLS and WebSocket on top of a connection as the scheme asks.
// The deadline of the connection bounds it.
func (l *listener) handshake(c net.Conn) (net.Conn, error) {
	if l.tls != nil {
		secure := tls.Server(c, l.tls)
		if err := secure.HandshakeContext(context.Background()); err != nil {
			return nil, err
		}
		c = secure
	}
	if strings.HasPrefix(l.scheme, "ws") {
		return upgrade(c)
	}
	return c, nil
}

// Addr is host:port of the plain listener.
func (b *Broker) Addr() string {
	b.listen.Lock()
	defer b.listen.Unlock()
	return b.listeners[0].address
}

// URL is the address of the plain listener for clients, mqtt://host:port. It
// stays the same over Stop and Start.
func (b *Broker) URL() string { return b.urlOf("mqtt") }

// TLSURL is the mqtts:// address of the first TLS listener, empty if there is
// none, see [WithTLS].
func (b *Broker) TLSURL() string { return b.urlOf("mqtts") }

// WebSocketURL is the ws:// or else wss:// address of the first WebSocket
// listener, empty if there is none, see [WithWebSocket].
func (b *Broker) WebSocketURL() string { return cmp.Or(b.urlOf("ws"), b.urlOf("wss")) }

func (b *Broker) urlOf(scheme string) string {
	b.listen.Lock()
	defer b.listen.Unlock()
	for _, l := range b.listeners {
		if l.scheme == scheme {
			return l.url()
		}
	}
	return ""
}

// open opens the addresses if the broker runs and they are not open.
func (b *Broker) open() error {
	deadline := time.Now().Add(bindTime)
	for {
		err := b.tryOpen()
		if err == nil || !b.bound() || time.Now().After(deadline) {
			return err
		}
		<-time.After(acceptPause)
	}
}

// bound reports whether the ports are those that the broker had before.
func (b *Broker) bound() bool {
	b.listen.Lock()
	defer b.listen.Unlock()
	return b.listeners[0].was
}

// tryOpen opens all addresses that are closed, or none.
func (b *Broker) tryOpen() error {
	b.listen.Lock()
	defer b.listen.Unlock()
	if !b.running {
		return nil
	}
	var opened []*listener
	for _, l := range b.listeners {
		if l.open != nil {
			continue
		}
		open, err := net.Listen("tcp", l.address)
		if err != nil {
			for _, l := range opened {
				l.close()
			}
			return fmt.Errorf("broker: %w", err)
		}
		l.open, l.address = open, open.Addr().String()
		opened = append(opened, l)
	}
	for _, l := range opened {
		l.was = true
		open := l.open
		b.wg.Go(func() { b.accept(l, open) })
	}
	return nil
}

func (b *Broker) shut() {
	b.listen.Lock()
	defer b.listen.Unlock()
	for _, l := range b.listeners {
		l.close()
	}
}

func (l *listener) close() {
	if l.open != nil {
		_ = l.open.Close()
		l.open = nil
	}
}

func (b *Broker) accept(l *listener, open net.Listener) {
	for {
		socket, err := open.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			b.options.log.Warn("broker: accept", "address", open.Addr().String(), "error", err)
			<-time.After(acceptPause)
			continue
		}
		b.admit(l, socket)
	}
}

// admit takes a connection in, or closes it at once when there are too many.
func (b *Broker) admit(l *listener, socket net.Conn) {
	number := 0
	b.locked(func() { b.counts.Connections++; number = int(b.counts.Connections) })
	c := b.newConn(l, socket, number)
	b.listen.Lock()
	defer b.listen.Unlock()
	if !b.running || len(b.conns) >= b.options.maxConnections {
		if b.running {
			b.refused.Add(1)
		}
		c.close()
		return
	}
	b.conns[c] = struct{}{}
	b.wg.Go(func() {
		c.serve()
		b.listen.Lock()
		defer b.listen.Unlock()
		delete(b.conns, c)
	})
}
