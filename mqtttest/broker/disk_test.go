package broker

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// fullDisk is a file that takes half of what is written while the disk is full.
type fullDisk struct {
	journalFile

	full *atomic.Bool
}

var errFull = errors.New("no space left on device")

func (f fullDisk) WriteAt(b []byte, at int64) (int, error) {
	if f.full.Load() {
		n, _ := f.journalFile.WriteAt(b[:len(b)/2], at)
		return n, errFull
	}
	return f.journalFile.WriteAt(b, at)
}

// While the disk is full nothing is acknowledged; afterwards everything is, and
// the file is whole.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	path := filepath.Join(t.TempDir(), "broker.journal")
	b, err := Listen(WithFile(path), func(o *options) {
		o.openFile = func(path string) (journalFile, error) {
			f, err := openJournalFile(path)
			return fullDisk{f, &full}, err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	client := func(id string, clean byte, packets ...[]byte) net.Conn {
		c, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		body := append(text("MQTT"), 4, clean, 0, 60)
		out := Packet{First: 0x10, Body: append(body, text(id)...)}.Encode()
		if _, err := c.Write(append(out, bytes.Join(packets, nil)...)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	read := func(c net.Conn, n int, within time.Duration) ([]byte, error) {
		_ = c.SetReadDeadline(time.Now().Add(within))
		got := make([]byte, n)
		_, err := io.ReadFull(c, got)
		return got, err
	}
	sub := client("sub", 0, Packet{First: 0x82, Body: append(append([]byte{0, 1}, text("t")...), 1)}.Encode())
	if got, err := read(sub, 4+5, 10*time.Second); err != nil || got[4] != 0x90 {
		t.Fatalf("% x, %v", got, err)
	}
	_ = sub.Close()
	pub := client("pub", 2)
	if _, err := read(pub, 4, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	full.Store(true)
	publish := Packet{First: 0x32, Body: append(append(text("t"), 0, 7), "kept"...)}.Encode()
	if _, err := pub.Write(publish); err != nil {
		t.Fatal(err)
	}
	if got, err := read(pub, 4, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("answered % x, %v", got, err)
	}
	if s := b.Stats(); s.FileErrors == 0 {
		t.Errorf("%+v", s)
	}
	for range 2 { // the broker lives
		if _, err := pub.Write([]byte{0xC0, 0}); err != nil {
			t.Fatal(err)
		}
		if got, err := read(pub, 2, 10*time.Second); err != nil || !bytes.Equal(got, []byte{0xD0, 0}) {
			t.Fatalf("% x instead of PINGRESP, %v", got, err)
		}
	}
	full.Store(false)
	if got, err := read(pub, 4, 10*time.Second); err != nil || !bytes.Equal(got, []byte{0x40, 2, 0, 7}) {
		t.Fatalf("% x, %v", got, err)
	}
	b.Kill(true)
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	if got := b.Recovered(); got.Cut != 0 || got.Messages != 1 || got.Sessions != 1 {
		t.Errorf("%+v", got)
	}
}

// Stop returns while the disk is full, though clients wait for acknowledgements.
func TestStopWithAFullDisk(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	b, err := Listen(WithFile(filepath.Join(t.TempDir(), "broker.journal")), func(o *options) {
		o.openFile = func(path string) (journalFile, error) {
			f, err := openJournalFile(path)
			return fullDisk{f, &full}, err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	full.Store(true)
	body := append(append(text("MQTT"), 4, 0, 0, 0), text("waits")...)
	if _, err := c.Write(Packet{First: 0x10, Body: body}.Encode()); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); b.Stats().Clients == 0; {
		if time.Now().After(deadline) {
			t.Fatal("not connected")
		}
		<-time.After(time.Millisecond)
	}
	done := make(chan struct{})
	go func() { defer close(done); b.Stop() }()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		full.Store(false)
		t.Error("Stop has not returned")
		<-done
	}
}

// stalledDisk is a file that takes forever to be made durable.
type stalledDisk struct {
	journalFile

	begun   chan struct{}
	release chan struct{}
}

func (f stalledDisk) Sync() error {
	select {
	case f.begun <- struct{}{}:
	default:
	}
	<-f.release
	return f.journalFile.Sync()
}

// While the disk makes the file durable, changes go on being appended and
// acknowledged.
func TestAcknowledgesWhileTheDiskStalls(t *testing.T) {
	t.Parallel()
	begun, release := make(chan struct{}, 1), make(chan struct{})
	b, err := Listen(WithFile(filepath.Join(t.TempDir(), "broker.journal")), SyncEvery(time.Millisecond), func(o *options) {
		o.openFile = func(path string) (journalFile, error) {
			f, err := openJournalFile(path)
			return stalledDisk{f, begun, release}, err
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	defer close(release)
	c, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	exchange := func(out, want []byte) {
		t.Helper()
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write(out); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("% x, %v, want % x", got, err, want)
		}
	}
	exchange(Packet{First: 0x10, Body: append(append(text("MQTT"), 4, 0, 0, 60), text("waits")...)}.Encode(), []byte{0x20, 2, 0, 0})
	subscribe := Packet{First: 0x82, Body: append(append([]byte{0, 1}, text("t")...), 1)}.Encode()
	exchange(subscribe, []byte{0x90, 3, 0, 1, 1})
	<-begun
	subscribe[3] = 2
	exchange(subscribe, []byte{0x90, 3, 0, 2, 1})
}
