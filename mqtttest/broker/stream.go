package broker

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	connectTimeout = 10 * time.Second       // for the CONNECT after the connection
	partingTime    = time.Second            // for a client to read what was sent last
	lastWords      = 2 * time.Millisecond   // without a byte ends a connection that is taken over
	takeoverTime   = 100 * time.Millisecond // ends it in any case
)

var (
	errDead      = errors.New("connection given up")
	errGone      = errors.New("client did not end its stream in time")
	errTakenOver = errors.New("taken over by another connection of the client")
)

// stream is the byte stream of a connection. It has a reading and a writing goroutine;
// methods except read and write may be called by any goroutine.
type stream struct {
	via     *listener
	raw     net.Conn // the accepted connection
	socket  net.Conn // the MQTT stream inside it, see [listener.handshake]
	out     out
	journal *journal // of the broker, as long as the connection lasts
	traffic *traffic
	arrival time.Time // of the bytes being handled; used by the reading goroutine

	frozen           *gate // of the whole broker
	reading, writing gate  // shut to block reading or writing

	once   sync.Once
	closed chan struct{}
	// superseded is until when the stream may still be read, once another connection of the
	// client takes its place.
	superseded atomic.Pointer[time.Time]
	parting    atomic.Bool // the stream to the client has ended
}

// open performs the handshakes of TLS and WebSocket.
func (s *stream) open() (err error) {
	if err := s.raw.SetDeadline(time.Now().Add(connectTimeout)); err != nil {
		return err
	}
	if s.socket, err = s.via.handshake(s.raw); err != nil {
		return err
	}
	return s.raw.SetDeadline(time.Time{})
}

// read reads from the socket. A client that sends nothing for the time of wait breaks the
// protocol; 0 means no limit.
func (s *stream) read(p []byte, wait time.Duration) (int, error) {
	if err := s.socket.SetReadDeadline(s.deadline(wait)); err != nil {
		return 0, err
	}
	if s.superseded.Load() != nil { // it was set meanwhile
		_ = s.socket.SetReadDeadline(s.deadline(0))
	}
	if s.parting.Load() {
		_ = s.socket.SetReadDeadline(time.Now().Add(partingTime))
	}
	n, err := s.socket.Read(p)
	s.traffic.received.Add(int64(n))
	s.arrival = time.Now()
	late := errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case late && s.parting.Load():
		return 0, errGone
	case late && s.superseded.Load() != nil:
		return 0, errTakenOver
	case !s.awaitReading():
		return 0, errDead
	case late:
		return n, &violation{reasonKeepAlive, "keep alive"}
	}
	return n, err
}

// awaitReading waits while a fault prevents reading. It returns false if the connection
// ends first.
func (s *stream) awaitReading() bool { return s.reading.wait(s.closed) && s.frozen.wait(s.closed) }

// awaitRoom waits while the client does not read fast enough, or the journal has too much
// to write.
func (s *stream) awaitRoom() {
	s.out.awaitRoom(s.closed)
	s.journal.awaitRoom(s.closed)
}

// held reports whether a fault prevents reading or writing.
func (s *stream) held() bool { return s.reading.shut.Load() || s.writing.shut.Load() }

// hold blocks reading and writing, or releases both.
func (s *stream) hold(reading, writing bool) {
	s.reading.set(reading)
	s.writing.set(writing)
}

// supersede allows a short time for reading what the client sent last.
func (s *stream) supersede() {
	until := time.Now().Add(takeoverTime)
	s.superseded.Store(&until)
	_ = s.socket.SetReadDeadline(time.Now().Add(lastWords))
}

// deadline returns the deadline of the next read.
func (s *stream) deadline(wait time.Duration) (d time.Time) {
	if wait > 0 {
		d = time.Now().Add(wait)
	}
	if until := s.superseded.Load(); until != nil {
		if d = time.Now().Add(lastWords); d.After(*until) {
			d = *until
		}
	}
	return d
}

// write sends the output of the broker until the connection ends.
func (s *stream) write() {
	for {
		chunk, ok := s.out.take(s.closed)
		if !ok || !s.sleep(time.Until(chunk.due)) || !s.writing.wait(s.closed) || !s.frozen.wait(s.closed) ||
			!s.journal.wait(chunk.after, s.closed, s.out.early, s.writeAhead) || !s.transmit(chunk.b) {
			return
		}
		if chunk.end == fin {
			s.finish()
			return
		}
		s.out.wrote(chunk)
	}
}

// writeAhead writes urgent output while the rest waits for the journal.
func (s *stream) writeAhead() {
	if b := s.out.takeAhead(); len(b) > 0 && s.transmit(b) {
		s.out.wrote(chunk{b: b})
	}
}

// transmit returns false if the connection is broken, and closes it.
func (s *stream) transmit(b []byte) bool {
	n, err := s.socket.Write(b)
	s.traffic.sent.Add(int64(n))
	if err != nil {
		s.close()
	}
	return err == nil
}

// fin ends the stream to the client after all queued output. If the client does not read it
// in time, or the journal cannot be written, the connection is closed.
func (s *stream) fin() {
	s.out.put(nil, 0, fin)
	time.AfterFunc(2*partingTime, s.close)
}

// finish ends the stream to the client, which then has some time to end its stream.
func (s *stream) finish() {
	s.parting.Store(true)
	_ = s.socket.SetReadDeadline(time.Now().Add(partingTime))
	if half, ok := s.socket.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// drain lets the client read what was sent last: closing a socket with unread bytes would
// reset the connection.
func (s *stream) drain() {
	_ = s.socket.SetReadDeadline(time.Now().Add(partingTime))
	b := make([]byte, 4096)
	for {
		if _, err := s.socket.Read(b); err != nil {
			return
		}
	}
}

// sleep returns false when the connection ends first.
func (s *stream) sleep(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.closed:
		return false
	}
}

func (s *stream) close() {
	s.once.Do(func() {
		close(s.closed)
		_ = s.raw.Close()
	})
}

func (s *stream) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// reset cuts the connection with RST.
func (s *stream) reset() {
	s.once.Do(func() {
		close(s.closed)
		if tcp, ok := s.raw.(interface{ SetLinger(sec int) error }); ok {
			_ = tcp.SetLinger(0)
		}
		_ = s.raw.Close()
	})
}
