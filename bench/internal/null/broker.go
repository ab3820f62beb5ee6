// Package null is a broker that costs as little as possible, so that a benchmark measures
// the client. It acknowledges every PUBLISH and routes none. For a subscription to a
// source filter it sends prepared PUBLISH frames as fast as the client reads them.
package null

import (
	"crypto/tls"
	"net"
	"sync"
)

// Broker accepts MQTT 3.1.1 and 5 on the given listeners. It has no authentication, so use
// it on loopback only.
type Broker struct {
	payloads map[string][]byte

	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

// NewBroker returns a broker whose sources send the given payloads, by kind.
func NewBroker(payloads map[string][]byte) *Broker {
	return &Broker{payloads: payloads, conns: make(map[net.Conn]struct{})}
}

// Serve accepts connections until l is closed.
func (b *Broker) Serve(l net.Listener) {
	for {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		tune(nc)
		go b.serve(nc)
	}
}

func (b *Broker) serve(nc net.Conn) {
	b.mu.Lock()
	b.conns[nc] = struct{}{}
	b.mu.Unlock()
	c := &conn{broker: b, nc: nc}
	c.serve()
	b.mu.Lock()
	delete(b.conns, nc)
	b.mu.Unlock()
}

// Close ends every connection.
func (b *Broker) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for nc := range b.conns {
		_ = nc.Close()
	}
}

// tune disables delays in the kernel that wait for more data.
func tune(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetNoDelay(true)
	}
}
