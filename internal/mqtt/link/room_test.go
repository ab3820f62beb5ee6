package link

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// narrow is a recorder that accepts a number of frames and then refuses until
// allowed.
type narrow struct {
	*recorder
	room    atomic.Int32
	refused chan struct{} // receives one value for each refusal
	batches atomic.Int32
}

func newNarrow(room int) *narrow {
	n := &narrow{recorder: newRecorder(), refused: make(chan struct{}, 1000)}
	n.room.Store(int32(room))
	n.onBatch = func() { n.batches.Add(1) }
	return n
}

func (n *narrow) Frame(first byte, body []byte) error {
	if n.room.Load() <= 0 {
		n.refused <- struct{}{}
		return ErrBusy
	}
	n.room.Add(-1)
	return n.recorder.Frame(first, body)
}

// reads collects what the library reads.
func reads(c *Conn) (got chan []byte) {
	got = make(chan []byte, 100)
	go func() {
		defer close(got)
		for {
			b := make([]byte, 100)
			n, err := c.Read(b)
			if err != nil {
				return
			}
			got <- b[:n]
		}
	}()
	return got
}

func next(t *testing.T, got chan []byte) []byte {
	t.Helper()
	select {
	case b := <-got:
		return b
	case <-time.After(patience):
		t.Fatal("the library gets nothing")
		return nil
	}
}

// A refused frame is kept, nothing after it is read, and it is offered again on
// Resume.
func TestBusyReceiverStopsReading(t *testing.T) {
	t.Parallel()
	rec := newNarrow(1)
	c, far := pipe(t, rec, Options{ReadBuffer: 32})
	reads(c)
	written := make(chan int, 10)
	go func() {
		for i, f := range [][]byte{connack(wire.V311), publish(1, 20), publish(2, 20), publish(3, 500)} {
			if _, err := far.Write(f); err != nil {
				return
			}
			written <- i
		}
		close(written)
	}()
	receive(t, "a refusal", rec.refused)
	if !bytes.Equal(rec.received(), publish(1, 20)) {
		t.Errorf("got %x", rec.received())
	}
	eventually(t, "the work is handed over", func() bool { return rec.batches.Load() > 0 })
	if c.Jam() <= 0 || c.Paused() <= 0 {
		t.Errorf("jam of %v, paused for %v", c.Jam(), c.Paused())
	}
	if _, whole := <-written, len(written) > 2; whole {
		t.Error("everything was read")
	}
	rec.room.Store(100)
	c.Resume()
	for range written { // until it is closed
	}
	want := bytes.Join([][]byte{publish(1, 20), publish(2, 20), publish(3, 500)}, nil)
	eventually(t, "the others arrive", func() bool { return bytes.Equal(rec.received(), want) })
}

// While reading is paused the Conn answers the library's pings, and later drops
// the broker's own answers.
func TestPingWhilePaused(t *testing.T) {
	t.Parallel()
	rec := newNarrow(0)
	c, far := pipe(t, rec, Options{})
	got := reads(c)
	go func() { _, _ = io.Copy(io.Discard, far) }() // the library's PINGREQs are written
	_, _ = far.Write(append(connack(wire.V311), publish(1, 20)...))
	next(t, got)
	receive(t, "a refusal", rec.refused)
	for range 3 {
		if _, err := c.Write(pingreq); err != nil {
			t.Fatal(err)
		}
		if b := next(t, got); !bytes.Equal(b, pingresp) {
			t.Fatalf("the library got %x", b)
		}
	}
	rec.room.Store(10)
	c.Resume()
	suback := frame(0x90, 0, 1, 0)
	if _, err := c.Write(subscribe(wire.V311, wire.TypeSubscribe, 1, 1)); err != nil {
		t.Fatal(err)
	}
	_, _ = far.Write(bytes.Join([][]byte{pingresp, pingresp, pingresp, suback}, nil))
	if b := next(t, got); !bytes.Equal(b, suback) {
		t.Fatalf("the library got %x behind the pause", b)
	}
	if _, err := c.Write(pingreq); err != nil {
		t.Fatal(err)
	}
	_, _ = far.Write(pingresp)
	if b := next(t, got); !bytes.Equal(b, pingresp) {
		t.Fatalf("the library got %x for a ping without a pause", b)
	}
}

// The answer to a PINGREQ that was sent before the pause follows the data that
// has not been read.
func TestPingBeforePause(t *testing.T) {
	t.Parallel()
	rec := newNarrow(0)
	c, far := pipe(t, rec, Options{})
	got := reads(c)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	_, _ = far.Write(connack(wire.V311))
	next(t, got)
	if _, err := c.Write(pingreq); err != nil {
		t.Fatal(err)
	}
	_, _ = far.Write(append(publish(1, 20), pingresp...))
	if b := next(t, got); !bytes.Equal(b, pingresp) {
		t.Fatalf("the library got %x", b)
	}
	rec.room.Store(1)
	c.Resume()
	suback := frame(0x90, 0, 1, 0)
	if _, err := c.Write(subscribe(wire.V311, wire.TypeSubscribe, 1, 1)); err != nil {
		t.Fatal(err)
	}
	_, _ = far.Write(suback)
	if b := next(t, got); !bytes.Equal(b, suback) {
		t.Errorf("the library got %x, want nothing before the SUBACK", b)
	}
}

// A SUBSCRIBE makes the Conn offer the frame again, and the receiver can see
// that it is unanswered.
func TestSubscribeWhilePaused(t *testing.T) {
	t.Parallel()
	rec := newNarrow(0)
	c, far := pipe(t, rec, Options{})
	got := reads(c)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	_, _ = far.Write(append(connack(wire.V311), publish(1, 20)...))
	next(t, got)
	receive(t, "a refusal", rec.refused)
	if c.Asked() {
		t.Error("asked before the SUBSCRIBE")
	}
	if _, err := c.Write(subscribe(wire.V311, wire.TypeSubscribe, 1, 1)); err != nil {
		t.Fatal(err)
	}
	receive(t, "another offer", rec.refused)
	if !c.Asked() {
		t.Error("not asked after the SUBSCRIBE")
	}
	rec.room.Store(1)
	c.Resume()
	_, _ = far.Write(frame(0x90, 0, 1, 0))
	next(t, got)
	if c.Asked() {
		t.Error("asked after the SUBACK")
	}
}

// A pause ends with its connection, in whatever way that ends, and Jam then
// returns how long it lasted.
func TestEndWhilePaused(t *testing.T) {
	t.Parallel()
	errEnd := errors.New("end")
	for name, end := range map[string]func(c *Conn, far net.Conn){
		"Abort": func(c *Conn, _ net.Conn) { c.Abort(errEnd) },
		"Close": func(c *Conn, _ net.Conn) { _ = c.Close() },
		"DISCONNECT and Close": func(c *Conn, far net.Conn) {
			go func() { _, _ = io.Copy(io.Discard, far); _ = far.Close() }()
			_, _ = c.Write(frame(0xE0))
			_ = c.Close()
		},
		"failing write": func(c *Conn, far net.Conn) {
			_ = far.Close()
			_, _ = c.Write(pingreq)
		},
	} {
		rec := newNarrow(0)
		c, far := pipe(t, rec, Options{})
		got := reads(c)
		_, _ = far.Write(append(connack(wire.V311), publish(1, 20)...))
		next(t, got)
		receive(t, "a refusal", rec.refused)
		eventually(t, "a pause", func() bool { return c.Jam() > 0 })
		end(c, far)
		receive(t, name+": the end", c.Done())
		_ = far.Close()
		for range got { // Read has to return
		}
		jam := c.Jam()
		if jam <= 0 || c.Jam() != jam {
			t.Errorf("%s: jam of %v", name, jam)
		}
		if len(rec.received()) > 0 {
			t.Errorf("%s: a frame after the end", name)
		}
	}
}

// Of a packet over the limit the head and the sizes are kept, on both versions;
// properties over their limit are omitted.
func TestOversizeHead(t *testing.T) {
	t.Parallel()
	payload := bytes.Repeat([]byte("payload "), 1000)
	topic := "\x00\x03t/1\x00\x07"
	property := func(n int) string { // a content type
		return "\x03" + string([]byte{byte(n >> 8), byte(n)}) + string(bytes.Repeat([]byte("c"), n))
	}
	many := bytes.Repeat([]byte(property(60_000)), 2)
	for name, tt := range map[string]struct {
		version wire.Version
		head    string
		want    string
	}{
		"3.1.1":           {wire.V311, topic, topic},
		"5":               {wire.V5, topic + "\x00", topic + "\x00"},
		"properties":      {wire.V5, topic + "\x08" + property(5), topic + "\x08" + property(5)},
		"many properties": {wire.V5, topic + "\xC6\xA9\x07" + string(many), topic + "\x00"},
	} {
		for _, piece := range []int{1, 300, 100_000} {
			sent := frame(0x32, append([]byte(tt.head), payload...)...)
			near, far := net.Pipe()
			rec := &heads{recorder: newRecorder()}
			c := New(&stream{Conn: near, in: append(connack(tt.version), sent...), piece: piece}, rec,
				Options{Version: tt.version, MaxPacketSize: 2000, ReadBuffer: 256})
			_, _ = io.ReadAll(readerOnly{c})
			switch {
			case rec.head != tt.want || rec.Packet != len(sent) || rec.Payload != len(payload):
				t.Errorf("%s in pieces of %d: head of %d bytes %.40q, size %d", name, piece, len(rec.head), rec.head, rec.Packet)
			case rec.SHA256 != sha256.Sum256(payload):
				t.Errorf("%s in pieces of %d: another digest", name, piece)
			}
			_ = far.Close()
			<-c.Done()
		}
	}
}

// heads is a recorder of the last packet over the limit.
type heads struct {
	*recorder
	Skipped
	head string
	busy int // number of refusals before it accepts
}

func (r *heads) Oversize(_ byte, head []byte, s Skipped) error {
	if r.busy > 0 {
		r.busy--
		return ErrBusy
	}
	r.head, r.Skipped = string(head), s
	return nil
}

// zeros is a socket that delivers a large packet followed by a small one. The
// library sends a PINGREQ meanwhile.
type zeros struct {
	net.Conn
	head, tail []byte
	left       int
	half       func()
}

func (z *zeros) Read(p []byte) (int, error) {
	switch {
	case len(z.head) > 0:
		n := copy(p, z.head)
		z.head = z.head[n:]
		return n, nil
	case z.left > 0:
		n := min(len(p), z.left)
		clear(p[:n])
		if z.left -= n; z.left < 128<<20 && z.half != nil {
			z.half()
			z.half = nil
		}
		return n, nil
	case len(z.tail) > 0:
		n := copy(p, z.tail)
		z.tail = z.tail[n:]
		return n, nil
	}
	return 0, io.EOF
}

func (*zeros) Write(p []byte) (int, error) { return len(p), nil }

// A packet of 256 MB takes no memory, what follows it arrives, and a PINGREQ is
// answered while it is skipped, which may take longer than the library waits.
// Not parallel, because it counts the allocations of the process.
func TestOversizeTakesNoMemory(t *testing.T) {
	const size = 268_435_455 // largest possible packet
	near, far := net.Pipe()
	defer far.Close()
	head := append(connack(wire.V5), 0x32, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, 't', 0, 1, 0)
	z := &zeros{Conn: near, head: head, left: size - 6, tail: publish(2, 9)}
	rec := &heads{recorder: newRecorder(), busy: 1}
	c := New(z, rec, Options{Version: wire.V5})
	z.half = func() { _, _ = c.Write(pingreq) }
	c.Resume() // after the only refusal
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	got, _ := io.ReadAll(readerOnly{c})
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 1<<20 {
		t.Errorf("%d bytes allocated", taken)
	}
	if rec.Packet != size+5 || rec.Payload != size-6 || !bytes.Equal(rec.received(), publish(2, 9)) {
		t.Errorf("size %d, behind it %x", rec.Packet, rec.received())
	}
	if want := append(connack(wire.V5), pingresp...); !bytes.Equal(got, want) {
		t.Errorf("the library got %x, want %x", got, want)
	}
	<-c.Done()
}
