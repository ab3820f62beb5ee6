// Package port reserves TCP ports of the loopback interface for the servers of tests.
//
// A port that was merely free a moment ago can be given to another program before it is used, or
// while a server is stopped: its clients then talk to the broker of another test.
package port

import (
	"net"
	"strconv"
	"testing"
)

// Reserved is a port that the system gives to nobody who asks for a free one. A server that
// asks for it by its number can listen there, as often as it likes; until then connections are
// refused. On systems other than Linux the port was free when it was chosen, and is not held.
type Reserved struct {
	number  int
	release func()
}

// Reserve chooses a free port of 127.0.0.1 and holds it until Release.
func Reserve() (*Reserved, error) {
	number, release, err := hold()
	if err != nil {
		return nil, err
	}
	return &Reserved{number, release}, nil
}

// Number returns the port.
func (r *Reserved) Number() int { return r.number }

// Release ends the reservation. It must be called once.
func (r *Reserved) Release() { r.release() }

// Of returns the number of a port that is held until the end of the test.
func Of(tb testing.TB) int {
	tb.Helper()
	r, err := Reserve()
	if err != nil {
		tb.Fatalf("no free port: %v", err)
	}
	tb.Cleanup(r.Release)
	return r.Number()
}

// Address is like [Of], and returns host:port.
func Address(tb testing.TB) string {
	tb.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Of(tb)))
}
