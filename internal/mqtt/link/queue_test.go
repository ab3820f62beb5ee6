package link

import (
	"bytes"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

func mustQueue(t *testing.T, c *Conn, f []byte) {
	t.Helper()
	if ok, err := c.Queue(f); !ok || err != nil {
		t.Fatalf("Queue: %v, %v", ok, err)
	}
}

// Frames are written in call order, small ones together and large ones from the
// caller's memory.
func TestQueueOrderAndLoans(t *testing.T) {
	t.Parallel()
	c, s := script(t, newRecorder(), Options{QueueLimit: 1 << 20})
	close(s.gate)
	large, larger := publish(3, lendSize), publish(5, 2*writePiece)
	puback := ack(wire.TypePuback, 4)
	frames := [][]byte{publish(1, 10), publish(2, 20), large, puback, larger, publish(6, 30)}
	for _, f := range frames {
		if &f[0] == &puback[0] {
			c.QueueAck(f)
		} else {
			mustQueue(t, c, f)
		}
	}
	c.Flush()
	got := s.written()
	if !bytes.Equal(bytes.Join(got, nil), bytes.Join(frames, nil)) {
		t.Fatal("changed or out of order")
	}
	if len(got) != 7 { // two, large, ack, three pieces of larger, last
		t.Errorf("%d writes", len(got))
	}
	if s.origins[1] != &large[0] || s.origins[3] != &larger[0] || s.origins[4] != &larger[writePiece] {
		t.Error("large frames were copied")
	}
	for i, w := range got {
		if len(w) > writePiece {
			t.Errorf("write %d has %d bytes", i, len(w))
		}
	}
}

// A small frame may be changed as soon as Queue returns.
func TestQueueCopiesSmallFrames(t *testing.T) {
	t.Parallel()
	c, s := script(t, newRecorder(), Options{})
	close(s.gate)
	f := publish(1, 10)
	want := bytes.Clone(f)
	mustQueue(t, c, f)
	c.QueueAck(f)
	clear(f)
	c.Flush()
	if got := bytes.Join(s.written(), nil); !bytes.Equal(got, append(want, want...)) {
		t.Errorf("got %x", got)
	}
}

func TestQueueLimit(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	c, s := script(t, rec, Options{QueueLimit: 100})
	mustQueue(t, c, publish(1, 500)) // larger than the queue, but the only one
	if ok, err := c.Queue(publish(2, 10)); ok || err != nil {
		t.Errorf("over the limit: %v, %v", ok, err)
	}
	c.QueueAck(ack(wire.TypePuback, 1)) // never refused
	if _, err := c.Write(pingreq); err != nil {
		t.Error(err)
	}
	select {
	case <-rec.writable:
		t.Error("Writable while the queue is full")
	default:
	}
	close(s.gate)
	c.Wake()
	receive(t, "Writable", rec.writable)
	mustQueue(t, c, publish(3, 98-2))
	if ok, _ := c.Queue(publish(4, 10)); ok {
		t.Error("the limit does not hold again")
	}
	c.Flush() // in this goroutine: the flusher calls Writable
	receive(t, "Writable", rec.writable)
	want := bytes.Join([][]byte{pingreq, publish(1, 500), ack(wire.TypePuback, 1), publish(3, 96)}, nil)
	eventually(t, "all is written", func() bool { return bytes.Equal(bytes.Join(s.written(), nil), want) })
	if len(rec.writable) != 0 {
		t.Error("Writable without a refusal")
	}
}

// D6: a caller that writes makes one pass. The flusher writes what others
// queued meanwhile in one write.
func TestD06_DirectWriterMakesOnePass(t *testing.T) {
	t.Parallel()
	c, s := script(t, newRecorder(), Options{})
	mustQueue(t, c, publish(1, 10))
	flushed := make(chan struct{})
	go func() { c.Flush(); close(flushed) }()
	receive(t, "the first write", s.begun)
	var rest []byte
	for id := uint16(2); id < 50; id++ {
		f := publish(id, 10)
		rest = append(rest, f...)
		mustQueue(t, c, f)
		c.Flush() // another goroutine is writing: does not wait
	}
	s.gate <- struct{}{}
	receive(t, "the direct writer returns", flushed)
	receive(t, "the flusher's write", s.begun)
	if got := s.written(); len(got) != 1 || !bytes.Equal(got[0], publish(1, 10)) {
		t.Errorf("the direct writer wrote %x", got)
	}
	s.gate <- struct{}{}
	eventually(t, "the rest", func() bool { return len(s.written()) == 2 })
	if !bytes.Equal(s.written()[1], rest) {
		t.Error("the rest is not one write in order")
	}
}

// D7: control packets are written before waiting data.
func TestD07_ControlAheadOfData(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	c, s := script(t, rec, Options{})
	mustQueue(t, c, publish(1, 100))
	c.Wake()
	receive(t, "the first write", s.begun)
	full := 0
	for ok := true; ok; full++ {
		ok, _ = c.Queue(publish(2, 1000))
	}
	want := bytes.Join([][]byte{pingreq, subscribe(wire.V311, wire.TypeSubscribe, 1, 1)}, nil)
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	close(s.gate)
	eventually(t, "three writes", func() bool { return len(s.written()) >= 3 })
	if got := s.written()[1]; !bytes.Equal(got, want) {
		t.Errorf("after the running write comes %x", got[:min(len(got), 20)])
	}
	if full < 100 {
		t.Errorf("only %d frames fit", full)
	}
}

// D8: the read loop continues while nothing can be written, and its
// acknowledgements are kept.
func TestReadLoopNeverWaitsForAWrite(t *testing.T) {
	t.Parallel()
	const n = 5000
	rec := newRecorder()
	var c *Conn
	ready := make(chan struct{})
	all := make(chan struct{})
	count := 0
	rec.onFrame = func(byte, []byte) error {
		<-ready
		c.QueueAck(ack(wire.TypePuback, 1))
		if count++; count == n {
			close(all)
		}
		return nil
	}
	rec.onBatch = func() { c.Wake() }
	c, far := pipe(t, rec, Options{})
	close(ready)
	go func() { _, _ = c.Read(make([]byte, 9)); _, _ = c.Read(make([]byte, 9)) }()
	go func() {
		_, _ = far.Write(connack(wire.V311))
		_, _ = far.Write(bytes.Repeat(publish(1, 100), n)) // and reads nothing
	}()
	receive(t, "all frames read", all)
	_ = far.SetReadDeadline(time.Now().Add(patience))
	got, want := make([]byte, 0, 4*n), bytes.Repeat(ack(wire.TypePuback, 1), n)
	for len(got) < len(want) {
		k, err := far.Read(got[len(got):cap(got)])
		if err != nil {
			t.Fatal(err)
		}
		got = got[:len(got)+k]
	}
	if !bytes.Equal(got, want) {
		t.Error("acknowledgements changed")
	}
}

// Without Flush or Wake nothing is written, and both do nothing if the queue is
// empty.
func TestFlushAndWakeWithoutWork(t *testing.T) {
	t.Parallel()
	c, s := script(t, newRecorder(), Options{})
	close(s.gate)
	c.Flush()
	c.Wake()
	c.Wake()
	mustQueue(t, c, publish(1, 10))
	c.Flush()
	eventually(t, "one write", func() bool { return len(s.written()) == 1 })
}

func TestQueueAfterTheEnd(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no")
	for _, end := range []struct {
		name string
		how  func(*Conn)
		want error
	}{
		{"Close", func(c *Conn) { _ = c.Close() }, net.ErrClosed},
		{"Abort", func(c *Conn) { c.Abort(errNo) }, errNo},
		{"Abort without reason", func(c *Conn) { c.Abort(nil) }, net.ErrClosed},
	} {
		c, _ := pipe(t, newRecorder(), Options{})
		end.how(c)
		if ok, err := c.Queue(publish(1, 10)); ok || err != end.want {
			t.Errorf("%s: Queue gives %v, %v", end.name, ok, err)
		}
		if _, err := c.Write(pingreq); err != end.want {
			t.Errorf("%s: Write gives %v", end.name, err)
		}
		if _, err := c.Read(make([]byte, 1)); err != end.want || c.Err() != end.want {
			t.Errorf("%s: Read gives %v", end.name, err)
		}
		c.QueueAck(ack(wire.TypePuback, 1))
		c.Flush()
		c.Wake()
	}
}

// The memory of a burst is released when traffic is low again or stops.
func TestIdleConnectionIsSmall(t *testing.T) {
	t.Parallel()
	for name, low := range map[string]time.Duration{"low traffic": time.Second, "no traffic": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c, s := script(t, newRecorder(), Options{})
				close(s.gate)
				held := func() int {
					synctest.Wait()
					c.mu.Lock()
					defer c.mu.Unlock()
					n := cap(c.partial)
					for _, o := range []outbox{c.control, c.data, c.spare[0], c.spare[1]} {
						n += cap(o.buf)
					}
					return n
				}
				for range 2 { // both buffers of data frames are used
					for ok := true; ok; {
						ok, _ = c.Queue(publish(1, 1000))
					}
					c.Flush()
					synctest.Wait() // until the flusher, which the full queue woke, has written, too
				}
				if n := held(); n < 2*defaultQueueLimit {
					t.Fatalf("%d bytes held after a burst", n)
				}
				for end := time.Now().Add(3 * defaultWriteTimeout); time.Now().Before(end); {
					if low == 0 {
						time.Sleep(time.Until(end)) //nolint:forbidigo // fake time
						continue
					}
					mustQueue(t, c, publish(1, 10))
					if _, err := c.Write(pingreq); err != nil {
						t.Fatal(err)
					}
					time.Sleep(low) //nolint:forbidigo // fake time
				}
				if n := held(); n > 4*keepBuffer {
					t.Errorf("%d bytes held", n)
				}
				if low == 0 && c.watch.armed.Load() {
					t.Error("the timer runs without traffic")
				}
			})
		})
	}
}

// The writer asks for acknowledgements: they are written after control packets,
// before data, and never after a DISCONNECT.
func TestDueAcknowledgementsAreAskedFor(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	var id atomic.Uint32
	rec.onAcks = func(to []byte) []byte { return append(to, ack(wire.TypePuback, uint16(id.Add(1)))...) }
	c, s := script(t, rec, Options{})
	close(s.gate)
	mustQueue(t, c, publish(7, 10))
	c.AcksDue()
	want := append(ack(wire.TypePuback, 1), publish(7, 10)...)
	eventually(t, "acknowledgement and data", func() bool { return bytes.Equal(bytes.Join(s.written(), nil), want) })
	if _, err := c.Write(frame(0xE0)); err != nil {
		t.Fatal(err)
	}
	c.AcksDue() // acknowledgements due when DISCONNECT is written may precede it
	_ = c.Close()
	c.AcksDue()
	rest, asked := bytes.Join(s.written(), nil)[len(want):], id.Load()
	if !bytes.HasSuffix(rest, frame(0xE0)) || asked > 2 {
		t.Errorf("%x at the end, asked %d times", rest, asked)
	}
}
