package embedded

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// handshakeTimeout bounds what a connection may do before it speaks MQTT.
const handshakeTimeout = 10 * time.Second

// acceptPause keeps the accept loop from spinning while the process is out of
// file descriptors.
const acceptPause = 50 * time.Millisecond

// listener is one open address. It owns the accept loop and every connection
// that came in through it.
type listener struct {
	endpoint
	net.Listener
	maximum uint32
	log     *slog.Logger
	serve   listeners.EstablishFn

	wg    sync.WaitGroup
	mu    sync.Mutex
	conns map[net.Conn]struct{} // nil once closed
}

// listen opens the address. Connections wait in the kernel until run.
func listen(ctx context.Context, e endpoint, maximum uint32, log *slog.Logger) (*listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", e.address)
	if err != nil {
		return nil, fmt.Errorf("embedded broker: listen on %s: %w", e.address, err)
	}
	return &listener{endpoint: e, Listener: l, maximum: maximum, log: log, conns: make(map[net.Conn]struct{})}, nil
}

// run starts the accept loop; serve is called for each connection, in a
// goroutine of its own, and returns when the connection ended.
func (l *listener) run(serve listeners.EstablishFn) {
	l.serve = serve
	l.wg.Go(l.accept)
}

func (l *listener) accept() {
	for {
		c, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.log.Warn("embedded broker: accept", "address", l.Addr().String(), "error", err)
			<-time.After(acceptPause) // out of descriptors, most likely
			continue
		}
		if l.add(c) {
			l.wg.Go(func() { l.handle(c) })
		}
	}
}

// handle serves one connection. A panic of the broker library ends this
// connection only.
func (l *listener) handle(c net.Conn) {
	defer l.remove(c)
	defer func() {
		if p := recover(); p != nil {
			l.log.Error("embedded broker: panic in a connection", "remote", c.RemoteAddr().String(), "panic", p)
		}
	}()
	stream, err := l.handshake(c)
	if err != nil {
		l.log.Debug("embedded broker: handshake", "remote", c.RemoteAddr().String(), "error", err)
		return
	}
	if err := serveConn(l.serve, l.scheme, stream, l.maximum); err != nil {
		l.log.Debug("embedded broker: connection ended", "remote", c.RemoteAddr().String(), "error", err)
	}
}

// handshake puts TLS and WebSocket on top of the connection as the scheme asks.
func (l *listener) handshake(c net.Conn) (net.Conn, error) {
	if err := c.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	if l.tls != nil {
		t := tls.Server(c, l.tls)
		if err := t.HandshakeContext(context.Background()); err != nil { // the deadline bounds it
			return nil, err
		}
		c = t
	}
	if l.scheme == "mqtt" || l.scheme == "mqtts" {
		return c, nil
	}
	ws, err := upgrade(c)
	if err != nil {
		return nil, err
	}
	return ws, ws.SetDeadline(time.Now().Add(handshakeTimeout))
}

func (l *listener) add(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns == nil {
		_ = c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *listener) remove(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}

// closeConns closes what is connected and admits nobody any more.
func (l *listener) closeConns() {
	l.mu.Lock()
	conns := l.conns
	l.conns = nil
	l.mu.Unlock()
	for c := range conns {
		_ = c.Close()
	}
}

// limitWrites gives every write under way until the deadline.
func (l *listener) limitWrites(deadline time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.SetWriteDeadline(deadline)
	}
}
