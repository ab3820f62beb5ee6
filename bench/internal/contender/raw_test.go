package contender

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// The bare socket keeps to the window of the other clients: without acknowledgements it
// sends exactly one window of messages, each with its own identifier, and one more for
// each acknowledgement.
func TestRawKeepsToTheWindow(t *testing.T) {
	client, server := net.Pipe()
	w := &Work{Topic: "a", Payload: []byte("x")}
	ended := make(chan error, 1)
	go func() { ended <- (&raw{client}).pipeline(w) }()
	frame := make([]byte, 2+2+1+2+1)
	next := func() (id uint16, ok bool) {
		t.Helper()
		_ = server.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.ReadFull(server, frame); err != nil {
			return 0, false
		}
		return binary.BigEndian.Uint16(frame[5:]), true
	}
	for want := range uint16(Window) {
		if id, ok := next(); !ok || id != want+1 {
			t.Fatalf("identifier %d, %t; want %d", id, ok, want+1)
		}
	}
	_ = server.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := server.Read(frame); err == nil {
		t.Fatalf("%d bytes beyond the window", n)
	}
	for want := uint16(1); want <= 3; want++ {
		if _, err := server.Write([]byte{0x40, 2, 0, byte(want)}); err != nil {
			t.Fatal(err)
		}
		if id, ok := next(); !ok || id != want {
			t.Fatalf("identifier %d, %t; want %d again", id, ok, want)
		}
	}
	if n := w.Done.Load(); n != 3 {
		t.Errorf("%d acknowledged, want 3", n)
	}
	_ = server.Close()
	if err := <-ended; err == nil {
		t.Error("the end of the connection is no error")
	}
}
