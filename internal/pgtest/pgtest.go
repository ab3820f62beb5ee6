package pgtest

import (
	"errors"
	"os"
	"strconv"
	"sync"
	"testing"
)

// New returns the address of a fresh, empty database, which is dropped at the
// end of the test. Its server is shared by the tests of this binary and does
// not wait for the disk (fsync is off): it is fast, and loses its data when the
// machine dies, which no test of one process sees.
func New(tb testing.TB) string {
	tb.Helper()
	s, err := shared.acquire()
	if err != nil {
		refuse(tb, err)
	}
	tb.Cleanup(shared.release)
	return s.Database(tb)
}

// Main wraps the tests of a binary, so that the shared server stays between
// them and is stopped after the last. Without it the server stops whenever no
// test uses it.
func Main(m runner) Suite { return Suite{m} }

// Suite is what [Main] returns, to be run by TestMain or given to goleak.
type Suite struct{ tests runner }

type runner interface{ Run() int }

// Run runs the tests and stops the server.
func (s Suite) Run() int {
	shared.hold()
	defer shared.release()
	return s.tests.Run()
}

// shared is the server of this test binary. It is the reason for the package
// that it is one for all tests.
var shared pool

// pool starts a server for its first user and stops it after the last.
type pool struct {
	mu     sync.Mutex
	users  int
	server *Server
	err    error
}

func (p *pool) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users++
}

func (p *pool) acquire() (*Server, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil && p.err == nil {
		p.server, p.err = start(Options{})
	}
	if p.err != nil {
		return nil, p.err
	}
	p.users++
	return p.server, nil
}

func (p *pool) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users--; p.users == 0 && p.server != nil {
		p.server.stop()
		p.server = nil
	}
}

// refuse ends a test that cannot have a server.
func refuse(tb testing.TB, err error) {
	tb.Helper()
	ci, _ := strconv.ParseBool(os.Getenv("CI"))
	switch {
	case !errors.Is(err, errMissing):
		tb.Fatalf("pgtest: %v", err)
	case ci:
		tb.Fatalf("%v and CI=true: install the postgresql package of your system", err)
	default:
		tb.Skipf("%v: install the postgresql package of your system", err)
	}
}
