package link

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// sink connects to a peer that discards everything.
func sink(b *testing.B, o Options) *Conn {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		if nc, err := l.Accept(); err == nil {
			_, _ = io.Copy(io.Discard, onlyReader{nc})
			_ = nc.Close()
		}
		_ = l.Close()
	}()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	room := make(chan struct{}, 1)
	c := New(nc, &benchReceiver{room: room}, o)
	b.Cleanup(func() { c.Abort(nil); <-c.Done() })
	return c
}

type onlyReader struct{ io.Reader }

type benchReceiver struct {
	room   chan struct{}
	frames int
}

func (r *benchReceiver) Connack(byte, []byte) error { return nil }
func (r *benchReceiver) Frame(byte, []byte) error   { r.frames++; return nil }
func (r *benchReceiver) Batch()                     {}
func (r *benchReceiver) Acks(to []byte) []byte      { return to }
func (r *benchReceiver) Closed(error)               {}
func (r *benchReceiver) Writable() {
	select {
	case r.room <- struct{}{}:
	default:
	}
}

// put queues f and waits while the queue is full.
func put(b *testing.B, c *Conn, f []byte) {
	for {
		ok, err := c.Queue(f)
		if err != nil {
			b.Fatal(err)
		}
		if ok {
			return
		}
		c.Wake()
		<-c.recv.(*benchReceiver).room
	}
}

// BenchmarkQueueFlush flushes each message before it queues the next.
func BenchmarkQueueFlush(b *testing.B) {
	c, f := sink(b, Options{}), publish(1, 256)
	b.ReportAllocs()
	b.SetBytes(int64(len(f)))
	for b.Loop() {
		put(b, c, f)
		c.Flush()
	}
}

// BenchmarkQueueWake leaves the writing to the flusher.
func BenchmarkQueueWake(b *testing.B) {
	for _, size := range []int{256, 16 << 10, 256 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			c, f := sink(b, Options{QueueLimit: max(defaultQueueLimit, 2*size)}), publish(1, size)
			b.ReportAllocs()
			b.SetBytes(int64(len(f)))
			for b.Loop() {
				put(b, c, f)
				c.Wake()
			}
		})
	}
}

// BenchmarkReadDiversion reads message frames without a socket.
func BenchmarkReadDiversion(b *testing.B) {
	for _, size := range []int{2, 256, 64 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			f := publish(1, size)
			if size == 2 {
				f = ack(wire.TypePuback, 1)
			}
			near, far := net.Pipe()
			defer far.Close()
			r := new(benchReceiver)
			source := &repeat{Conn: near, begin: connack(wire.V311), part: bytes.Repeat(f, 1+(64<<10)/len(f))}
			c := New(source, r, Options{})
			defer func() { c.Abort(nil); <-c.Done() }()
			source.left = b.N*len(f) + len(connack(wire.V311))
			b.ReportAllocs()
			b.SetBytes(int64(len(f)))
			b.ResetTimer()
			_, _ = io.ReadAll(onlyReader{c})
			if r.frames != b.N {
				b.Fatalf("%d frames of %d", r.frames, b.N)
			}
		})
	}
}

// repeat is a socket that delivers begin once and then part repeatedly.
type repeat struct {
	net.Conn
	begin, part []byte
	at, left    int
}

func (s *repeat) Read(p []byte) (int, error) {
	p = p[:min(len(p), s.left)]
	if len(p) == 0 {
		return 0, io.EOF
	}
	var n int
	if len(s.begin) > 0 {
		n = copy(p, s.begin)
		s.begin = s.begin[n:]
	} else {
		n = copy(p, s.part[s.at:])
		s.at = (s.at + n) % len(s.part)
	}
	s.left -= n
	return n, nil
}
