package link

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// T9: a peer that reads nothing ends the connection exactly after WriteTimeout;
// a peer that reads slowly does not.
func TestWriteDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		rec := newRecorder()
		c := New(near, rec, Options{WriteTimeout: 3 * time.Second})
		read := make(chan error, 1)
		go func() { _, err := c.Read(make([]byte, 1)); read <- err }()

		large := publish(0x8001, 20*writePiece)
		mustQueue(t, c, large)
		c.Wake()
		go func() { // a piece every two seconds: slow, but alive
			for b := make([]byte, writePiece); ; time.Sleep(2 * time.Second) { //nolint:forbidigo // fake time
				if n, err := io.ReadFull(far, b); err != nil || n < len(b) {
					return
				}
				if c.Err() != nil {
					return
				}
			}
		}()
		time.Sleep(30 * time.Second) //nolint:forbidigo // fake time
		if err := c.Err(); err != nil {
			t.Fatalf("slow peer: %v", err)
		}
		_ = far.SetReadDeadline(time.Now()) // the peer reads nothing from here on
		start := time.Now()
		err := rec.ended(t, c)
		if !errors.Is(err, os.ErrDeadlineExceeded) || <-read != err {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("noticed after %v", took)
		}
	})
}

// The same over TCP and TLS, with a receiver whose window is closed.
func TestWriteDeadlineOnSockets(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			const timeout = 200 * time.Millisecond
			nc := dialStalled(t, ca, scheme)
			rec := newRecorder()
			c := New(nc, rec, Options{WriteTimeout: timeout, QueueLimit: 8 << 20})
			go func() { _, _ = c.Read(make([]byte, 1)) }()
			for ok := true; ok; { // far more than the system buffers hold
				ok, _ = c.Queue(publish(1, 30_000))
			}
			start := time.Now()
			c.Flush()
			err := rec.ended(t, c)
			if took := time.Since(start); took > timeout+slack {
				t.Errorf("noticed after %v: %v", took, err)
			}
			if err == nil || errors.Is(err, net.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// Close stays within its time limit with a peer that does not read.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct{ timeout, want time.Duration }{
			{time.Minute, closeTimeout},
			{100 * time.Millisecond, 100 * time.Millisecond},
		} {
			near, far := net.Pipe()
			rec := newRecorder()
			c := New(near, rec, Options{WriteTimeout: tc.timeout})
			mustQueue(t, c, publish(1, 10))
			c.Wake()
			synctest.Wait() // the flusher is writing
			if _, err := c.Write(disconnect); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			if err := c.Close(); err == nil {
				t.Error("Close is content")
			}
			if took := time.Since(start); took != tc.want {
				t.Errorf("Close took %v, want %v", took, tc.want)
			}
			if err := rec.ended(t, c); !errors.Is(err, net.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
			_ = far.Close()
		}
	})
}

// The same on sockets, where the closing handshake could wait for the peer.
func TestCloseIsBoundedOnSockets(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, scheme := range []string{"tcp", "tls", "ws", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			rec := newRecorder()
			c := New(dialStalled(t, ca, scheme), rec, Options{QueueLimit: 8 << 20})
			go func() { _, _ = c.Read(make([]byte, 1)) }()
			for ok := true; ok; {
				ok, _ = c.Queue(publish(1, 30_000))
			}
			c.Wake()
			start := time.Now()
			_ = c.Close()
			if took := time.Since(start); took > closeTimeout+slack {
				t.Errorf("Close took %v", took)
			}
			if err := rec.ended(t, c); !errors.Is(err, net.ErrClosed) {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// Close writes everything that was queued before.
func TestCloseFlushes(t *testing.T) {
	t.Parallel()
	c, far := pipe(t, newRecorder(), Options{})
	want := []byte(nil)
	for id := uint16(1); id < 100; id++ {
		f := publish(id, 500)
		mustQueue(t, c, f)
		want = append(want, f...)
	}
	large := publish(200, lendSize)
	mustQueue(t, c, large)
	c.QueueAck(ack(wire.TypePuback, 1))
	want = append(append(want, large...), ack(wire.TypePuback, 1)...)
	got := make(chan []byte, 1)
	go func() { b, _ := io.ReadAll(far); got <- b }()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if b := <-got; !bytes.Equal(b, want) {
		t.Errorf("%d bytes arrived of %d", len(b), len(want))
	}
}

// A peer that is still sending when Close is called, and reads only then,
// receives what was queued. Its own frames are ignored.
func TestCloseWhilePeerWrites(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	c, far := pipe(t, rec, Options{})
	go func() { _, _ = io.ReadAll(readerOnly{c}) }()
	if _, err := far.Write(connack(wire.V311)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(disconnect); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- c.Close() }()
	eventually(t, "Close begins", func() bool { return c.Err() != nil })
	for range 100 {
		if _, err := far.Write(publish(1, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	got := make([]byte, len(disconnect))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, disconnect) {
		t.Errorf("the peer got %x, %v", got, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if len(rec.received()) != 0 {
		t.Error("frames after Close count")
	}
}

// Closed is called once, after the socket is closed and lent frames are free,
// and may call every method.
func TestClosedOnce(t *testing.T) {
	t.Parallel()
	for range 50 {
		rec := newRecorder()
		var c *Conn
		ready := make(chan struct{})
		rec.onClosed = func(error) {
			<-ready
			if _, err := c.Queue(publish(1, 9)); err == nil {
				t.Error("Queue after the end")
			}
			c.Flush()
			c.Abort(nil)
			_ = c.Close()
		}
		c, far := pipe(t, rec, Options{})
		lent := publish(1, lendSize)
		mustQueue(t, c, lent)
		c.Wake()
		close(ready)
		ways := []func(){
			func() { _ = c.Close() },
			func() { _ = c.Close() },
			func() { c.Abort(io.ErrUnexpectedEOF) },
			func() { _ = far.Close() },
			func() { _, _ = c.Read(make([]byte, 1)) },
			func() { c.Flush() },
			func() { _, _ = c.Write(disconnect) },
		}
		var wg sync.WaitGroup
		for _, way := range ways {
			wg.Go(way)
		}
		wg.Wait()
		if err := rec.ended(t, c); err == nil || c.Err() != err {
			t.Errorf("Closed got %v, Err is %v", err, c.Err())
		}
		clear(lent) // the race detector reports a writer that still reads it
	}
}

// Close from within the receiver's callbacks does not deadlock.
func TestCloseInCallbacks(t *testing.T) {
	t.Parallel()
	var c *Conn
	ready := make(chan struct{})
	end := func() { <-ready; _ = c.Close() }
	for _, rec := range []*recorder{
		{onConnack: func(byte, []byte) error { end(); return nil }},
		{onFrame: func(byte, []byte) error { end(); return nil }},
		{onBatch: end},
		{onWritable: end},
	} {
		ready = make(chan struct{})
		conn, far := pipe(t, rec, Options{QueueLimit: 10})
		c = conn
		close(ready)
		mustQueue(t, c, publish(1, 100))
		if ok, _ := c.Queue(publish(1, 100)); ok {
			t.Fatal("no limit")
		}
		go func() { _, _ = io.Copy(io.Discard, far) }()
		go func() { _, _ = far.Write(append(connack(wire.V311), publish(1, 9)...)) }()
		if rec.onWritable != nil {
			c.Wake()
		}
		_, _ = io.ReadAll(readerOnly{c})
		if err := rec.ended(t, c); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ended with %v", err)
		}
	}
}

// Close after DISCONNECT waits for reading to end, unless the reading goroutine
// calls it.
func TestCloseAfterDisconnectInFrame(t *testing.T) {
	t.Parallel()
	var c *Conn
	ready := make(chan struct{})
	rec := newRecorder()
	rec.onFrame = func(byte, []byte) error {
		<-ready
		_, err := c.Write(disconnect)
		_ = c.Close()
		return err
	}
	c, far := pipe(t, rec, Options{WriteTimeout: 100 * time.Millisecond})
	close(ready)
	go func() { _, _ = io.Copy(io.Discard, far) }()
	go func() { _, _ = far.Write(append(connack(wire.V311), publish(1, 9)...)) }()
	go func() { _, _ = io.ReadAll(readerOnly{c}) }()
	if err := rec.ended(t, c); !errors.Is(err, net.ErrClosed) {
		t.Errorf("ended with %v", err)
	}
}

// dialStalled connects to a peer that completes the handshakes and then reads
// nothing.
func dialStalled(t *testing.T, ca *authority, scheme string) net.Conn {
	t.Helper()
	stop := make(chan struct{})
	stall := func(net.Conn) { <-stop }
	var addr string
	switch scheme {
	case "tcp":
		addr = listen(t, nil, stall)
	case "tls":
		addr = listen(t, ca.serverConfig(), func(nc net.Conn) {
			_ = nc.(*tls.Conn).Handshake()
			<-stop
		})
	default:
		addr = listenWebSocket(t, ca, scheme, stall)
	}
	d := Dialer{TLS: ca.trust}
	nc, err := d.Dial(t.Context(), mustParse(t, scheme+"://"+addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(stop); _ = nc.Close() })
	return nc
}
