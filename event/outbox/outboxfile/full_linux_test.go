package outboxfile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
)

// fillEmptyFill fills a store until the disk is full, empties it while the disk is full, fills
// it again, makes room on the disk, and checks that the store works.
func fillEmptyFill(s *outboxfile.Store, giveRoom func() error) error {
	ctx := context.Background()
	fill := func() (n int, err error) {
		for ; n < 1_000_000; n++ {
			e := outboxtest.Entry("k", n)
			e.Payload = make([]byte, 1000)
			if err := s.Append(ctx, e); err != nil {
				return n, err
			}
		}
		return n, errors.New("the disk is never full")
	}
	first, err := fill()
	if !errors.Is(err, outbox.ErrFull) || first < 50 {
		return fmt.Errorf("after %d entries: %w, want ErrFull", first, err)
	}
	if _, err := s.Stats(ctx); !errors.Is(err, outbox.ErrFull) {
		return fmt.Errorf("Stats while the disk is full: %w, want ErrFull", err)
	}
	if n, err := empty(ctx, s); err != nil || n != first {
		return fmt.Errorf("emptied %d of %d while the disk is full: %w", n, first, err)
	}
	second, err := fill() // what the file has is used again
	if !errors.Is(err, outbox.ErrFull) || second < first/3 {
		return fmt.Errorf("%d entries the second time, %d the first: %w", second, first, err)
	}
	if err := giveRoom(); err != nil {
		return err
	}
	if err := becomesKnown(ctx, s); err != nil {
		return err
	}
	for n := range 1000 {
		e := outboxtest.Entry("more", n)
		e.Payload = make([]byte, 1000)
		if err := s.Append(ctx, e); err != nil {
			return fmt.Errorf("Append with room again: %w", err)
		}
	}
	if st, err := s.Stats(ctx); err != nil || st.Depth != second+1000 {
		return fmt.Errorf("Stats with room again: %+v, %w; want %d entries", st, err, second+1000)
	}
	if n, err := empty(ctx, s); err != nil || n != second+1000 {
		return fmt.Errorf("emptied %d of %d: %w", n, second+1000, err)
	}
	return nil
}

// becomesKnown waits until the store notices that there is room again, although
// nobody appends.
func becomesKnown(ctx context.Context, s *outboxfile.Store) error {
	for deadline := time.Now().Add(2 * time.Minute); ; {
		_, err := s.Stats(ctx)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("Stats with room again: %w", err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// empty deletes as a relay does, at first where it takes most room: an entry
// of each page.
func empty(ctx context.Context, s *outboxfile.Store) (n int, err error) {
	var some []uint64
	for after := uint64(0); ; {
		es, err := s.Read(ctx, after, 7)
		if err != nil {
			return 0, err
		}
		if len(es) == 0 {
			break
		}
		after = es[len(es)-1].Seq
		some = append(some, es[0].Seq)
	}
	if err := s.Delete(ctx, some...); err != nil {
		return 0, err
	}
	n = len(some)
	for {
		es, err := s.Read(ctx, 0, 100)
		if err != nil || len(es) == 0 {
			return n, err
		}
		seqs := make([]uint64, len(es))
		for i, e := range es {
			seqs[i] = e.Seq
		}
		if err := s.Delete(ctx, seqs...); err != nil {
			return n, err
		}
		n += len(es)
	}
}

// A limit for the size of files works everywhere, without rights: the system
// refuses to let the file grow, as it does when a disk or a quota is full.
func TestFault_23_FullDisk(t *testing.T) {
	t.Parallel()
	var stderr strings.Builder
	cmd, out := child(t, "limit", newPath(t), &stderr)
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Errorf("child: %v: %s", err, stderr.String())
	}
}

func fillWithLimit(path string) int {
	signal.Ignore(syscall.SIGXFSZ)
	setLimit := func(n uint64) error {
		var l syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
			return err
		}
		l.Cur = n
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
	}
	s, err := outboxfile.Open(path, outboxfile.Options{})
	if err == nil {
		err = setLimit(1 << 20)
	}
	if err == nil {
		err = fillEmptyFill(s, func() error { return setLimit(^uint64(0)) })
	}
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// On a disk that is really full, a write into the mapped file would kill the
// process if its blocks were not reserved before.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("no right to mount a small disk (%v); TestFault_23_FullDisk does not need it", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := open(t, filepath.Join(dir, "outbox.db"), outboxfile.Options{})
	err := fillEmptyFill(s, func() error { return syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=64m") })
	if err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A disk that another file fills, and makes room on again.
func TestDiskFilledByOthers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("no right to mount a small disk (%v); TestFault_23_FullDisk does not need it", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	s := open(t, filepath.Join(dir, "outbox.db"), outboxfile.Options{})
	appendN(t, s, 100)
	other := filepath.Join(dir, "other")
	if f, err := os.Create(other); err != nil {
		t.Fatal(err)
	} else if _, err := io.Copy(f, zeroReader{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	} else {
		_ = f.Close()
	}
	var err error
	n := 0
	for ; err == nil && n < 100_000; n++ {
		e := outboxtest.Entry("k", n)
		e.Payload = make([]byte, 1000)
		err = s.Append(t.Context(), e)
	}
	if !errors.Is(err, outbox.ErrFull) {
		t.Fatalf("Append on a full disk: %v, want ErrFull", err)
	}
	if err := os.Remove(other); err != nil {
		t.Fatal(err)
	}
	if err := becomesKnown(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	appendN(t, s, 1)
	if got, err := empty(t.Context(), s); err != nil || got != 100+n-1+1 {
		t.Errorf("emptied %d, %v; want %d", got, err, 100+n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { return len(p), nil }

// A file that cannot be written is an error to the caller.
func TestFault_24_ReadOnlyDisk(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, outboxfile.Options{})
	appendN(t, s, 1)
	_ = s.Close()
	readOnly(t, path)
	_, err := outboxfile.Open(path, outboxfile.Options{
		OnCorrupt: func(r outboxfile.Recovery) { t.Errorf("recovered: %+v", r) },
	})
	if !errors.Is(err, syscall.EROFS) && !errors.Is(err, os.ErrPermission) {
		t.Errorf("Open of a file that cannot be written: %v", err)
	}
}

// readOnly keeps a file from being written: by a disk that is mounted so, or,
// for a user who may not mount, and whom rights bind, by its rights.
func readOnly(t *testing.T, path string) {
	t.Helper()
	dir := filepath.Dir(path)
	if err := syscall.Mount(dir, dir, "", syscall.MS_BIND, ""); err != nil {
		if os.Geteuid() == 0 {
			t.Skipf("no right to mount, and rights do not bind root: %v", err)
		}
		if err := os.Chmod(path, 0o400); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}
