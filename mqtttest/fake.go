package mqtttest

import (
	"net"
	"sync"
	"testing"
)

// Fake is a listener whose connections are served by a script of the test.
type Fake struct {
	listener net.Listener
	script   func(net.Conn)
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// FakeBroker listens on a free loopback port and runs script for every connection in its own
// goroutine. The connection is closed when script returns. The script reads with [ReadPacket]
// and can send anything. At the end of the test all connections are closed and the scripts are
// waited for, so a script must return when its connection fails.
func FakeBroker(tb testing.TB, script func(conn net.Conn)) *Fake {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("mqtttest: %v", err)
	}
	f := &Fake{listener: l, script: script, conns: make(map[net.Conn]struct{})}
	f.wg.Go(f.accept)
	tb.Cleanup(f.Close)
	return f
}

// URL returns the address for clients.
func (f *Fake) URL() string { return "mqtt://" + f.listener.Addr().String() }

// Close closes the port and all connections, and waits for the scripts.
func (f *Fake) Close() {
	_ = f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}

func (f *Fake) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		if f.add(c) {
			f.wg.Go(func() {
				defer f.remove(c)
				f.script(c)
			})
		}
	}
}

func (f *Fake) add(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		_ = c.Close()
		return false
	}
	f.conns[c] = struct{}{}
	return true
}

func (f *Fake) remove(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}
