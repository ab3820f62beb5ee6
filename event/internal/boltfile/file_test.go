package boltfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openTest(t *testing.T) (*File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "f.db")
	f, err := Open(path, Options{Buckets: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, path
}

func put(key string) Op {
	return Op{Grow: 100, Apply: func(tx *bbolt.Tx) error { return tx.Bucket([]byte("b")).Put([]byte(key), []byte("v")) }}
}

func keys(t *testing.T, f *File) (n int) {
	t.Helper()
	err := f.View(func(tx *bbolt.Tx) error {
		n = tx.Bucket([]byte("b")).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestRefusingOpLeavesTheOthers(t *testing.T) {
	t.Parallel()
	f, _ := openTest(t)
	refused := errors.New("refused")
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			o := put(fmt.Sprint(i))
			if i%10 == 0 {
				o.Apply = func(tx *bbolt.Tx) error {
					_ = tx.Bucket([]byte("b")).Put([]byte("half"), nil)
					return refused
				}
			}
			if err := f.Update(t.Context(), o); errors.Is(err, refused) != (i%10 == 0) {
				t.Errorf("op %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := keys(t, f); n != 45 {
		t.Errorf("%d keys, want 45", n)
	}
	if err := f.Err(); err != nil {
		t.Errorf("Err after an op refused: %v", err)
	}
}

func TestFinishIsCalledOnce(t *testing.T) {
	t.Parallel()
	f, _ := openTest(t)
	const n = 500
	var finished, stored atomic.Int64
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
			defer cancel()
			o := put(fmt.Sprint(i))
			o.Finish = func(ok bool) {
				finished.Add(1)
				if ok {
					stored.Add(1)
				}
			}
			_ = f.Update(ctx, o)
		})
	}
	wg.Wait()
	if err := f.Close(); err != nil { // whatever was begun is over
		t.Fatal(err)
	}
	if err := f.Update(t.Context(), Op{Finish: func(bool) { finished.Add(1) }}); !errors.Is(err, ErrClosed) {
		t.Errorf("Update after Close: %v", err)
	}
	if finished.Load() != n+1 {
		t.Errorf("Finish was called %d times for %d ops", finished.Load(), n+1)
	}
	t.Logf("%d of %d stored", stored.Load(), n)
}

// A disk that fails is an error, of the op and of the file.
func TestInputOutputError(t *testing.T) {
	t.Parallel()
	f, _ := openTest(t)
	if err := f.Update(t.Context(), put("a")); err != nil {
		t.Fatal(err)
	}
	if err := f.raw.Close(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Op{put("b"), {Apply: put("b").Apply}} {
		if err := f.Update(t.Context(), o); !errors.Is(err, os.ErrClosed) || IsFull(err) {
			t.Errorf("Update: %v", err)
		}
	}
	if err := f.Err(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Err: %v", err)
	}
	if n := keys(t, f); n != 1 {
		t.Errorf("%d keys after a commit that failed, want 1", n)
	}
}

// A panic of bbolt or a fault in the mapped file ends the use of the file, not
// the process.
func TestPanicAndFault(t *testing.T) {
	t.Parallel()
	f, path := openTest(t)
	if err := f.Update(t.Context(), put("a")); err != nil {
		t.Fatal(err)
	}
	if err := f.Update(t.Context(), Op{Apply: func(*bbolt.Tx) error { panic("page is not a page") }}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Update that panics: %v", err)
	}
	for name, err := range map[string]error{
		"Update": f.Update(t.Context(), put("b")), "View": f.View(func(*bbolt.Tx) error { return nil }), "Err": f.Err(),
	} {
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s afterwards: %v", name, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	f, err := Open(path, Options{Buckets: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if err := os.Truncate(path, 8192); err != nil { // the pages are mapped and gone: SIGBUS
		t.Fatal(err)
	}
	err = f.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("b")).ForEach(func(_, _ []byte) error { return nil })
	})
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("View of a file that was cut: %v", err)
	}
}

func TestZeros(t *testing.T) {
	t.Parallel()
	file, err := os.Create(filepath.Join(t.TempDir(), "z"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString("head"); err != nil {
		t.Fatal(err)
	}
	if err := zeros(file, 4, 200_000); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file.Name())
	if err != nil || len(b) != 200_000 || !bytes.HasPrefix(b, []byte("head\x00")) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

func TestSmallBucketsAndMissingOnes(t *testing.T) {
	t.Parallel()
	f, path := openTest(t)
	if err := f.Update(t.Context(), put("a")); err != nil { // kept within the root page
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := Open(path, Options{Buckets: []string{"b", "other"}}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("Open of a file without one of its buckets: %v", err)
	}
	var r Recovery
	f, err := Open(path, Options{Buckets: []string{"b", "other"}, OnCorrupt: func(x Recovery) { r = x }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if r.Kept != 1 || r.Err == nil || keys(t, f) != 1 {
		t.Errorf("recovery: %+v, %d keys", r, keys(t, f))
	}
}

// A file of another store, whose path stands in the wrong place, is not damaged: a
// recovery would take what is in it away from its owner.
func TestFileOfAnotherStore(t *testing.T) {
	t.Parallel()
	f, path := openTest(t)
	if err := f.Update(t.Context(), put("a")); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	for _, onCorrupt := range []func(Recovery){nil, func(r Recovery) { t.Errorf("recovered: %+v", r) }} {
		_, err := Open(path, Options{
			Buckets: []string{"other"}, OnCorrupt: onCorrupt,
			ValidKey: func(string, []byte) bool { return false },
		})
		if err == nil || errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `another program or store, which has "b" in it`) {
			t.Errorf("Open of a file of another store: %v", err)
		}
	}
	f, err := Open(path, Options{Buckets: []string{"b"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if keys(t, f) != 1 {
		t.Errorf("%d keys are left", keys(t, f))
	}
}

// FuzzTree walks arbitrary bytes as if a meta page pointed to them.
func FuzzTree(f *testing.F) {
	path := filepath.Join(f.TempDir(), "f.db")
	file, err := Open(path, Options{Buckets: []string{"b"}})
	if err != nil {
		f.Fatal(err)
	}
	for i := range 3 {
		if err := file.Update(context.Background(), put(fmt.Sprint(i))); err != nil {
			f.Fatal(err)
		}
	}
	_ = file.Close()
	b, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[2*4096:8*4096], uint8(1), uint16(3))
	f.Fuzz(func(_ *testing.T, pages []byte, root uint8, at uint16) {
		const pageSize = 512
		b := append(make([]byte, 2*pageSize), pages...)
		if len(b) >= 3*pageSize { // a page that knows its number, so that more is reached
			id := 2 + int(at)%(len(b)/pageSize-2)
			copy(b[id*pageSize:], []byte{byte(id), byte(id >> 8), 0, 0, 0, 0, 0, 0})
		}
		t := tree{f: bytes.NewReader(b), size: int64(len(b)), meta: meta{pageSize: pageSize, root: uint64(root), top: uint64(len(b) / pageSize)}}
		t.record = func(string, []byte, []byte) {}
		_ = t.walk()
		t.scan()
		readMetas(bytes.NewReader(pages), int64(len(pages)))
	})
}
