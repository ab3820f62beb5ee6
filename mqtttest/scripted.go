package mqtttest

import (
	"net"
	"sync"
	"testing"
)

// Scripted is a listener whose connections are served by a script of the test.
type Scripted struct {
	listener net.Listener
	script   func(net.Conn)
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

// ScriptedBroker listens on a free loopback port and runs script for every connection in its own
// goroutine. The connection is closed when script returns. The script reads with [ReadPacket]
// and can send anything. At the end of the test all connections are closed and the scripts are
// waited for, so a script must return when its connection fails.
func ScriptedBroker(tb testing.TB, script func(conn net.Conn)) *Scripted {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("mqtttest: %v", err)
	}
	s := &Scripted{listener: l, script: script, conns: make(map[net.Conn]struct{})}
	s.wg.Go(s.accept)
	tb.Cleanup(s.Close)
	return s
}

// URL returns the address for clients.
func (s *Scripted) URL() string { return "mqtt://" + s.listener.Addr().String() }

// Close closes the port and all connections, and waits for the scripts.
func (s *Scripted) Close() {
	_ = s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Scripted) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		if s.add(c) {
			s.wg.Go(func() {
				defer s.remove(c)
				s.script(c)
			})
		}
	}
}

func (s *Scripted) add(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return false
	}
	s.conns[c] = struct{}{}
	return true
}

func (s *Scripted) remove(c net.Conn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
