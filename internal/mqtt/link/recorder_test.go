package link

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// recorder is a Receiver that records calls. A function that is set is called
// instead of recording.
type recorder struct {
	onConnack, onFrame func(first byte, body []byte) error
	onBatch            func()
	onWritable         func()
	onAcks             func([]byte) []byte
	onClosed           func(error)

	mu       sync.Mutex
	frames   [][]byte
	connacks [][]byte
	closed   []error
	waiting  int // frames since the last Batch
	writable chan struct{}
}

func newRecorder() *recorder { return &recorder{writable: make(chan struct{}, 100)} }

func (r *recorder) Connack(first byte, body []byte) error {
	if r.onConnack != nil {
		return r.onConnack(first, body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connacks = append(r.connacks, frame(first, body...))
	return nil
}

func (r *recorder) Frame(first byte, body []byte) error {
	if r.onFrame != nil {
		return r.onFrame(first, body)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frames = append(r.frames, frame(first, body...))
	r.waiting++
	return nil
}

func (r *recorder) Batch() {
	if r.onBatch != nil {
		r.onBatch()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = 0
}

func (r *recorder) Acks(to []byte) []byte {
	if r.onAcks != nil {
		return r.onAcks(to)
	}
	return to
}

func (r *recorder) Writable() {
	if r.onWritable != nil {
		r.onWritable()
		return
	}
	r.writable <- struct{}{}
}

func (r *recorder) Closed(err error) {
	r.mu.Lock()
	r.closed = append(r.closed, err)
	r.mu.Unlock()
	if r.onClosed != nil {
		r.onClosed(err)
	}
}

func (r *recorder) received() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Join(r.frames, nil)
}

// ended waits for Done and returns the only error of Closed.
func (r *recorder) ended(t *testing.T, c *Conn) error {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("the connection does not end")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.closed) != 1 {
		t.Fatalf("Closed was called %d times: %v", len(r.closed), r.closed)
	}
	return r.closed[0]
}

// pipe returns a Conn and its peer.
func pipe(t *testing.T, r Receiver, o Options) (*Conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	c := New(near, r, o)
	t.Cleanup(func() {
		_ = far.Close()
		c.Abort(nil)
		<-c.Done()
	})
	return c, far
}

// scripted is a socket whose writes wait for the test. It records the written
// slices and where their memory starts.
type scripted struct {
	net.Conn // one end of a pipe, for reading and closing
	gate     chan struct{}
	mu       sync.Mutex
	writes   [][]byte
	origins  []*byte
	begun    chan struct{} // receives one value for each Write
	closed   chan struct{}
	once     sync.Once

	deadlines atomic.Int32 // number of write deadlines that were set
}

// script returns a Conn whose writes wait until gate is closed or has a token.
func script(t *testing.T, r Receiver, o Options) (*Conn, *scripted) {
	t.Helper()
	near, far := net.Pipe()
	s := &scripted{Conn: near, gate: make(chan struct{}), begun: make(chan struct{}, 10_000), closed: make(chan struct{})}
	c := New(s, r, o)
	t.Cleanup(func() {
		_ = far.Close()
		c.Abort(nil)
		<-c.Done()
	})
	return c, s
}

func (s *scripted) Write(p []byte) (int, error) {
	s.begun <- struct{}{}
	select {
	case <-s.gate:
	case <-s.closed:
		return 0, net.ErrClosed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes = append(s.writes, bytes.Clone(p))
	s.origins = append(s.origins, &p[0])
	return len(p), nil
}

func (s *scripted) Close() error {
	s.once.Do(func() { close(s.closed) })
	return s.Conn.Close()
}

func (s *scripted) SetWriteDeadline(time.Time) error { s.deadlines.Add(1); return nil }

// written returns all writes so far.
func (s *scripted) written() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// eventually waits for a condition that another goroutine makes true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// receive waits for a signal.
func receive(t *testing.T, what string, ch <-chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(patience):
		t.Fatalf("never: %s", what)
	}
}

var versions = []wire.Version{wire.V311, wire.V5}
