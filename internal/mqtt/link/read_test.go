package link

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// brokerStream returns a random stream of a broker, and its control and data
// packets.
func brokerStream(r *rand.Rand, v wire.Version, n int) (all, control, data []byte) {
	toLibrary := func(b []byte) { all, control = append(all, b...), append(control, b...) }
	toLibrary(connack(v))
	for range n {
		id := uint16(1 + r.IntN(65535))
		var f []byte
		switch r.IntN(12) {
		case 0, 1:
			toLibrary(pingresp)
			continue
		case 2:
			f = publish(id, r.IntN(50_000)) // often larger than the read buffer
		case 3, 4, 5:
			f = publish(id, r.IntN(300))
		default:
			f = ack([]wire.Type{wire.TypePuback, wire.TypePubrec, wire.TypePubrel, wire.TypePubcomp}[r.IntN(4)], id)
		}
		all, data = append(all, f...), append(data, f...)
	}
	if v == wire.V5 {
		toLibrary(frame(0xF0, 0x18, 0))
		toLibrary(frame(0xE0, 0x8E))
	}
	return all, control, data
}

// In whatever pieces bytes arrive and are read, the library gets the control
// packets and the receiver the others, unchanged and in order.
func TestDiversionIn(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		v := versions[seed%2]
		all, control, data := brokerStream(r, v, 150)
		rec := newRecorder()
		c, far := pipe(t, rec, Options{Version: v, ReadBuffer: []int{1, 64, 16 << 10}[seed%3]})
		pieces := cut(r, all, []int{1, 7, 3000, 100_000}[seed%4])
		go func() {
			for _, p := range pieces {
				_, _ = far.Write(p)
			}
			_ = far.Close()
		}()
		var got []byte
		most := []int{1, 5, 5000}[seed%3]
		var err error
		for n := 0; err == nil; got = got[:len(got)+n] { //nolint:wastedassign // n is the result of the last read
			want := 1 + r.IntN(most)
			got = append(got, make([]byte, want)...)[:len(got)]
			n, err = c.Read(got[len(got) : len(got)+want])
		}
		if !errors.Is(err, io.EOF) || rec.ended(t, c) != err {
			t.Errorf("seed %d: ends with %v", seed, err)
		}
		if !bytes.Equal(got, control) {
			t.Errorf("seed %d: the library got %d bytes, want %d", seed, len(got), len(control))
		}
		if !bytes.Equal(rec.received(), data) {
			t.Errorf("seed %d: the receiver got %d bytes, want %d", seed, len(rec.received()), len(data))
		}
		if rec.waiting != 0 || len(rec.connacks) != 1 || !bytes.Equal(rec.connacks[0], connack(v)) {
			t.Errorf("seed %d: %d frames without Batch, CONNACK %x", seed, rec.waiting, rec.connacks)
		}
	}
}

// A batch ends before Read waits for the socket or returns bytes to the
// library.
func TestBatches(t *testing.T) {
	t.Parallel()
	var calls []string
	rec := newRecorder()
	rec.onConnack = func(byte, []byte) error { calls = append(calls, "connack"); return nil }
	rec.onFrame = func(first byte, _ []byte) error { calls = append(calls, wire.Type(first>>4).String()); return nil }
	rec.onBatch = func() { calls = append(calls, "batch") }
	c, far := pipe(t, rec, Options{})
	go func() {
		puback := ack(wire.TypePuback, 1)
		_, _ = far.Write(bytes.Join([][]byte{connack(wire.V311), puback, puback, pingresp, puback, publish(1, 9)[:4]}, nil))
		_, _ = far.Write(publish(1, 9)[4:])
		_ = far.Close()
	}()
	got, _ := io.ReadAll(c)
	if want := append(connack(wire.V311), pingresp...); !bytes.Equal(got, want) {
		t.Errorf("the library got %x", got)
	}
	want := []string{"connack", "PUBACK", "PUBACK", "batch", "PUBACK", "batch", "PUBLISH", "batch"}
	if len(calls) != len(want) {
		t.Fatalf("got %v", calls)
	}
	for i := range want {
		if calls[i] != want[i] {
			t.Fatalf("got %v", calls)
		}
	}
}

// refused lists what a broker must not send: the bytes after CONNECT, and the
// error.
var refused = []struct {
	name string
	v    wire.Version // 0 means both
	sent [][]byte
	want func(error) bool
}{
	{"PUBLISH before CONNACK", 0, [][]byte{publish(1, 9)}, is(ErrUnexpected)},
	{"PUBACK before CONNACK", 0, [][]byte{ack(wire.TypePuback, 1)}, is(ErrUnexpected)},
	{"PINGRESP before CONNACK", 0, [][]byte{pingresp}, is(ErrUnexpected)},
	{"SUBACK before CONNACK", 0, [][]byte{suback(wire.V311, wire.TypeSuback, 1, 2)}, is(ErrUnexpected)},
	{"DISCONNECT before CONNACK", 0, [][]byte{disconnect}, is(ErrUnexpected)},
	{"second CONNACK", 0, [][]byte{connack(wire.V311), connack(wire.V311)}, is(ErrUnexpected)},
	{"AUTH", wire.V311, [][]byte{frame(0xF0)}, is(ErrUnexpected)},
	{"DISCONNECT", wire.V311, [][]byte{connack(wire.V311), disconnect}, is(ErrUnexpected)},
	{"CONNECT", 0, [][]byte{connack(wire.V311), connect}, is(ErrUnexpected)},
	{"SUBSCRIBE", 0, [][]byte{connack(wire.V311), subscribe(wire.V311, wire.TypeSubscribe, 1, 1)}, is(ErrUnexpected)},
	{"UNSUBSCRIBE", 0, [][]byte{connack(wire.V311), subscribe(wire.V311, wire.TypeUnsubscribe, 1, 1)}, is(ErrUnexpected)},
	{"PINGREQ", 0, [][]byte{connack(wire.V311), pingreq}, is(ErrUnexpected)},
	{"type 0", 0, [][]byte{connack(wire.V311), {0, 0}}, has[*wire.MalformedError]},
	{"flags of CONNACK", 0, [][]byte{frame(0x21, 0, 0)}, has[*wire.MalformedError]},
	{"flags of PUBREL", 0, [][]byte{connack(wire.V311), frame(0x60, 0, 1)}, has[*wire.MalformedError]},
	{"QoS 3", 0, [][]byte{connack(wire.V311), frame(0x36, 0, 1, 't', 0, 1)}, has[*wire.MalformedError]},
	{"PINGRESP with a body", 0, [][]byte{connack(wire.V311), frame(0xD0, 1)}, has[*wire.MalformedError]},
	{"five bytes of length", 0, [][]byte{connack(wire.V311), {0x30, 0xFF, 0xFF, 0xFF, 0xFF}}, has[*wire.MalformedError]},
	{"HTTP", 0, [][]byte{[]byte("HTTP/1.1 400 Bad Request\r\n\r\n")}, anyError},
	{"TLS alert", 0, [][]byte{{0x15, 3, 3, 0, 2, 2, 70}}, anyError},
	{"CONNACK over the limit", 0, [][]byte{frame(0x20, make([]byte, controlLimit)...)}, is(ErrTooLarge)},
	{"PINGRESP, 256 MiB", 0, [][]byte{connack(wire.V311), {0xD0, 0xFF, 0xFF, 0xFF, 0x7F}}, anyError},
	{"SUBACK, 256 MiB", 0, [][]byte{connack(wire.V311), {0x90, 0xFF, 0xFF, 0xFF, 0x7F}}, is(ErrTooLarge)},
	{"PUBLISH, 256 MiB", 0, [][]byte{connack(wire.V311), {0x30, 0xFF, 0xFF, 0xFF, 0x7F}}, is(ErrTooLarge)},
	{"PUBLISH over the limit", 0, [][]byte{connack(wire.V311), publish(1, defaultMaxPacketSize-3)}, is(ErrTooLarge)},
	{"SUBACK for nothing", 0, [][]byte{connack(wire.V311), {0x90, 4, 0, 9, 0, 1}}, is(ErrAnswer)},
	{"UNSUBACK for nothing", wire.V311, [][]byte{connack(wire.V311), {0xB0, 2, 0, 9}}, is(ErrAnswer)},
	{"SUBACK without id", 0, [][]byte{connack(wire.V311), {0x90, 2, 0, 0}}, has[*wire.MalformedError]},
	{"end in a header", 0, [][]byte{connack(wire.V311), {0x30}}, is(io.EOF)},
	{"end in a body", 0, [][]byte{connack(wire.V311), publish(1, 100_000)[:50_000]}, is(io.EOF)},
}

func anyError(err error) bool { return err != nil }

// T16: headers are checked strictly.
func TestRefusedFromBroker(t *testing.T) {
	t.Parallel()
	for _, tc := range refused {
		for _, v := range versions {
			if tc.v != 0 && tc.v != v {
				continue
			}
			rec := newRecorder()
			c, far := pipe(t, rec, Options{Version: v})
			go func() {
				_, _ = far.Write(bytes.Join(tc.sent, nil))
				_ = far.Close()
			}()
			_, err := io.ReadAll(readerOnly{c})
			if err == nil {
				err = io.EOF
			}
			if !tc.want(err) || rec.ended(t, c) != err {
				t.Errorf("%s on %v: %v", tc.name, v, err)
			}
			if again, _ := c.Read(make([]byte, 1)); again != 0 {
				t.Errorf("%s on %v: reading goes on", tc.name, v)
			}
		}
	}
}

// readerOnly hides everything but Read.
type readerOnly struct{ io.Reader }

// T15: an answer whose number of codes differs from the number of filters never
// reaches the library.
func TestT15_SubackLength(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		for _, tc := range []struct {
			ask   wire.Type
			asked int
			codes int
			ok    bool
		}{
			{wire.TypeSubscribe, 1, 1, true},
			{wire.TypeSubscribe, 3, 3, true},
			{wire.TypeSubscribe, 1, 2, false},
			{wire.TypeSubscribe, 1, 200, false},
			{wire.TypeSubscribe, 3, 2, false},
			{wire.TypeSubscribe, 1, 0, false},
			{wire.TypeUnsubscribe, 2, 2, v == wire.V5},
			{wire.TypeUnsubscribe, 2, 0, v == wire.V311},
			{wire.TypeUnsubscribe, 2, 3, false},
		} {
			rec := newRecorder()
			c, far := pipe(t, rec, Options{Version: v})
			request := subscribe(v, tc.ask, 7, tc.asked)
			answer := suback(v, tc.ask+1, 7, tc.codes)
			go func() {
				_, _ = far.Write(connack(v))
				_, _ = io.ReadFull(far, make([]byte, len(request)))
				_, _ = far.Write(append(bytes.Clone(answer), answer...))
			}()
			if _, err := io.ReadFull(c, make([]byte, len(connack(v)))); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Write(request); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, len(answer))
			_, err := io.ReadFull(c, got)
			if tc.ok != (err == nil) || (tc.ok && !bytes.Equal(got, answer)) {
				t.Errorf("%v: %v of %d answered with %d codes: %v", v, tc.ask, tc.asked, tc.codes, err)
			}
			if tc.ok { // a second copy of the answer matches no request
				_, err = c.Read(got)
			}
			if _, malformed := errors.AsType[*wire.MalformedError](err); !errors.Is(err, ErrAnswer) && !malformed {
				t.Errorf("%v: %v of %d answered with %d codes, then: %v", v, tc.ask, tc.asked, tc.codes, err)
			}
		}
	}
}

// T16: a large length alone takes no memory, whatever the limit. Not parallel,
// because it measures the allocations of the process.
func TestT16_SevenBytesAllocateLittle(t *testing.T) {
	for _, limit := range []int{0, wire.MaxRemaining + wire.MaxHeader} {
		rec := newRecorder()
		c, far := pipe(t, rec, Options{MaxPacketSize: limit})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		go func() {
			_, _ = far.Write(connack(wire.V311))
			_, _ = far.Write([]byte{0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1})
			_ = far.Close()
		}()
		_, err := io.ReadAll(c)
		runtime.ReadMemStats(&after)
		if (limit == 0) != errors.Is(err, ErrTooLarge) {
			t.Errorf("limit %d: %v", limit, err)
		}
		if got := after.TotalAlloc - before.TotalAlloc; got > 2*growStep {
			t.Errorf("limit %d: %d bytes allocated", limit, got)
		}
	}
}

func TestLargePacketWithinLimit(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	c, far := pipe(t, rec, Options{MaxPacketSize: 8 << 20})
	sent := publish(1, 5<<20)
	go func() {
		_, _ = far.Write(append(connack(wire.V311), sent...))
		_ = far.Close()
	}()
	_, _ = io.ReadAll(c)
	if !bytes.Equal(rec.received(), sent) {
		t.Error("changed on the way")
	}
}

func TestReceiverErrorEndsConnection(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no")
	for _, frames := range []bool{false, true} {
		rec := newRecorder()
		if fail := func(byte, []byte) error { return errNo }; frames {
			rec.onFrame = fail
		} else {
			rec.onConnack = fail
		}
		c, far := pipe(t, rec, Options{})
		go func() { _, _ = far.Write(append(connack(wire.V311), publish(1, 9)...)) }()
		got, err := io.ReadAll(c)
		if !errors.Is(err, errNo) || rec.ended(t, c) != errNo || frames != (len(got) > 0) {
			t.Errorf("got %x, %v", got, err)
		}
	}
}

// D13: frames that are read after the connection has ended are ignored.
func TestNoFrameAfterAbort(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	var c *Conn
	errNo := errors.New("no")
	frames := 0
	rec.onFrame = func(byte, []byte) error {
		frames++
		c.Abort(errNo)
		return nil
	}
	c, far := pipe(t, rec, Options{})
	go func() {
		_, _ = far.Write(bytes.Join([][]byte{connack(wire.V311), ack(wire.TypePubrec, 1), ack(wire.TypePubrec, 2)}, nil))
	}()
	_, err := io.ReadAll(c)
	if frames != 1 || !errors.Is(err, errNo) || rec.ended(t, c) != errNo {
		t.Errorf("%d frames, %v", frames, err)
	}
}

// The library's read deadline takes effect, its write deadline does not (T9).
func TestDeadlinesOfTheLibrary(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	c, far := pipe(t, rec, Options{})
	past := time.Now().Add(-time.Hour)
	if err := errors.Join(c.SetDeadline(past), c.SetWriteDeadline(past), c.SetReadDeadline(time.Time{})); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(pingreq); err != nil {
		t.Fatal(err)
	}
	if got := make([]byte, 2); true {
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, pingreq) {
			t.Fatal(got, err)
		}
	}
	_ = c.SetDeadline(past)
	_, err := c.Read(make([]byte, 1))
	if !errors.Is(err, os.ErrDeadlineExceeded) || rec.ended(t, c) != err {
		t.Errorf("got %v", err)
	}
}

func TestReadCorners(t *testing.T) {
	t.Parallel()
	c, far := pipe(t, newRecorder(), Options{})
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("no room: %d, %v", n, err)
	}
	if c.RemoteAddr() != far.RemoteAddr() || c.LocalAddr() != far.LocalAddr() {
		t.Error("addresses are not those of the socket")
	}
	idle := New(idleConn{far}, newRecorder(), Options{})
	if _, err := idle.Read(make([]byte, 1)); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("reads without bytes: %v", err)
	}
	<-idle.Done()
}

// idleConn never receives anything.
type idleConn struct{ net.Conn }

func (idleConn) Read([]byte) (int, error) { return 0, nil }

func TestReadBufferGrows(t *testing.T) {
	t.Parallel()
	const full = 16 << 10
	in := inbound{buf: make([]byte, firstBuffer)}
	in.r, in.w = 100, 100+copy(in.buf[100:], "unread")
	for _, step := range []struct{ need, want int }{
		{0, 2 << 10}, {0, 8 << 10}, {0, full}, {0, full}, {full, full},
	} {
		if in.grow(step.need, full); len(in.buf) != step.want || string(in.buf[in.r:in.w]) != "unread" {
			t.Errorf("%d bytes with %q, want %d", len(in.buf), in.buf[in.r:in.w], step.want)
		}
	}
	in = inbound{buf: make([]byte, firstBuffer)}
	if in.grow(10_000, full); len(in.buf) != 10_000 {
		t.Errorf("%d bytes for a packet of 10000", len(in.buf))
	}
}
