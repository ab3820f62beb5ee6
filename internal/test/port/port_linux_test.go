package port_test

import (
	"errors"
	"net"
	"syscall"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

// A reserved port refuses connections while nobody listens, and a server can listen there again
// although connections of its previous run are open.
func TestReserved(t *testing.T) {
	t.Parallel()
	address := port.Address(t)
	refused := func() {
		t.Helper()
		c, err := net.Dial("tcp", address)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("%v, %v, want a refused connection", c, err)
		}
	}
	refused()
	for range 3 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		served, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer served.Close()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		refused()
	}
}

// Nobody who asks for a free port gets a reserved one, however many ask.
func TestNobodyElseGetsIt(t *testing.T) {
	t.Parallel()
	reserved := map[int]bool{}
	for range 200 {
		n := port.Of(t)
		if reserved[n] {
			t.Fatalf("port %d was reserved twice", n)
		}
		reserved[n] = true
	}
	for range 20_000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		n := l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if reserved[n] {
			t.Fatalf("reserved port %d was given to somebody else", n)
		}
	}
}
