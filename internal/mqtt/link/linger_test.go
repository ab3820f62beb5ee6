package link

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// A broker that answers an acknowledgement while we send DISCONNECT must find
// the socket open, because it may otherwise discard what it has not read yet.
func TestCloseWaitsForTheReaderOfDisconnect(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = far.Close() }()
	c := New(nc, newRecorder(), Options{})
	if _, err := far.Write(frame(0x20, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	reading := make(chan struct{})
	go func() { defer close(reading); _, _ = io.Copy(io.Discard, c) }()
	closed := make(chan struct{})
	c.QueueAck(frame(0x50, 0, 1))
	if _, err := c.Write(frame(0xE0)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	go func() { defer close(closed); _ = c.Close() }()

	_ = far.SetDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(far, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	for range 10 { // the second write to a closed socket fails
		if _, err := far.Write(frame(0x62, 0, 1)); err != nil {
			t.Fatalf("the broker's answer: %v", err)
		}
		select {
		case <-closed:
			if took := time.Since(began); took < closeTimeout {
				t.Fatalf("closed after %v, before DISCONNECT was read", took)
			}
			t.Log("the machine was too slow: the bound of Close came first")
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
	rest, err := io.ReadAll(far) // until our side is closed
	if err != nil || !bytes.Equal(rest, frame(0xE0)) {
		t.Fatalf("% x, %v", rest, err)
	}
	_ = far.Close()
	for _, end := range []<-chan struct{}{closed, reading, c.Done()} {
		select {
		case <-end:
		case <-time.After(patience):
			t.Fatal("the end did not come")
		}
	}
}

// A peer that does not close delays Close until its time limit and no longer.
func TestCloseDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	c, far := pipe(t, newRecorder(), Options{WriteTimeout: 100 * time.Millisecond})
	go func() { _, _ = io.Copy(io.Discard, far) }()
	if _, err := c.Write(frame(0xE0)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil { // nothing reads from c
		t.Fatal(err)
	}
}
