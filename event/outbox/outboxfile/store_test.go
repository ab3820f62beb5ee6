package outboxfile_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

func TestMain(m *testing.M) {
	if child := os.Getenv("OUTBOX_CHILD"); child != "" {
		os.Exit(children()[child](os.Getenv("OUTBOX_PATH")))
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, path string, o outboxfile.Options) *outboxfile.Store {
	t.Helper()
	s, err := outboxfile.Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, outbox.ErrClosed) {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "new", "folder", "outbox.db") }

func appendN(t testing.TB, s outbox.Store, n int) {
	t.Helper()
	for i := range n {
		if err := s.Append(context.Background(), outboxtest.Entry("k", i)); err != nil {
			t.Fatal(err)
		}
	}
}

func ids(t testing.TB, s outbox.Store) []string {
	t.Helper()
	var out []string
	after := uint64(0)
	for {
		es, err := s.Read(context.Background(), after, 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(es) == 0 {
			return out
		}
		for _, e := range es {
			out, after = append(out, e.ID), e.Seq
		}
	}
}

func TestStore(t *testing.T) {
	t.Parallel()
	outboxtest.TestStore(t, func(t *testing.T) outbox.Store { return open(t, newPath(t), outboxfile.Options{}) })
}

// stores.md 13.
func TestQuarantineBound(t *testing.T) {
	t.Parallel()
	outboxtest.TestQuarantineBound(t, func(t *testing.T) outbox.Store {
		t.Helper()
		return open(t, newPath(t), outboxfile.Options{MaxQuarantined: 3})
	})
}

func TestQuarantineShare(t *testing.T) {
	t.Parallel()
	outboxtest.TestQuarantineShare(t, func(t *testing.T, bytes int64) outbox.Store {
		t.Helper()
		return open(t, newPath(t), outboxfile.Options{MaxQuarantined: 16, MaxQuarantinedBytes: bytes})
	})
}

// What is in the file counts, also what had no share when it was quarantined.
func TestQuarantineShareAfterReopen(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, outboxfile.Options{})
	appendN(t, s, 13)
	other := outboxtest.Entry("other", 0)
	if err := s.Append(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(12) {
		if err := s.Quarantine(t.Context(), seq+1, "refused"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, path, outboxfile.Options{MaxQuarantined: 16})
	if st, err := s.Stats(t.Context()); err != nil || st.Quarantined != 12 {
		t.Fatalf("Stats: %+v, %v", st, err)
	}
	if err := s.Quarantine(t.Context(), 13, "refused"); !errors.Is(err, outbox.ErrQuarantineShare) {
		t.Errorf("Quarantine of a key that has its share: %v", err)
	}
	if err := s.Quarantine(t.Context(), other.Seq, "refused"); err != nil {
		t.Errorf("Quarantine of another key: %v", err)
	}
}

func TestReopen(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, outboxfile.Options{})
	appendN(t, s, 10)
	last := outboxtest.Entry("k", 10)
	if err := s.Append(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	if err := s.Quarantine(t.Context(), 2, "bad"); err != nil {
		t.Fatal(err)
	}
	want, _ := s.Stats(t.Context())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path, outboxfile.Options{})
	if got, err := s.Stats(t.Context()); err != nil || got != want {
		t.Errorf("Stats after reopening: %+v, %v; want %+v", got, err, want)
	}
	if got := ids(t, s); len(got) != 10 || got[0] != "k-0" || got[9] != "k-10" {
		t.Errorf("entries after reopening: %v", got)
	}
	for seq := range last.Seq {
		if err := s.Delete(t.Context(), seq+1); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path, outboxfile.Options{})
	e := outboxtest.Entry("k", 11)
	if err := s.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if e.Seq <= last.Seq {
		t.Errorf("seq %d is used again after all were deleted and the file was reopened", e.Seq)
	}
}

func TestSecondOpenIsAnError(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	s := open(t, path, outboxfile.Options{})
	appendN(t, s, 3)
	start := time.Now()
	_, err := outboxfile.Open(path, outboxfile.Options{
		LockTimeout: 100 * time.Millisecond, OnCorrupt: func(r outboxfile.Recovery) { t.Errorf("recovered: %+v", r) },
	})
	if !errors.Is(err, outboxfile.ErrLocked) {
		t.Errorf("second Open: %v, want ErrLocked", err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("second Open took %v", d)
	}
	appendN(t, s, 1)
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, c := range map[string]struct {
		path string
		o    outboxfile.Options
	}{
		"no path":            {},
		"negative":           {path: filepath.Join(dir, "a"), o: outboxfile.Options{MaxEntries: -1}},
		"folder":             {path: dir},
		"below a plain file": {path: filepath.Join("/dev/null", "x")},
	} {
		if s, err := outboxfile.Open(c.path, c.o); err == nil {
			t.Errorf("%s: opened", name)
			_ = s.Close()
		}
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	size := int64(outboxtest.Entry("k", 1).Size())
	for name, o := range map[string]outboxfile.Options{"entries": {MaxEntries: 3}, "bytes": {MaxBytes: 3 * size}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, newPath(t), o)
			appendN(t, s, 2)
			if err := s.Append(t.Context(), outboxtest.Entry("k", 2), outboxtest.Entry("k", 3)); !errors.Is(err, outbox.ErrFull) {
				t.Errorf("two where one fits: %v", err)
			}
			appendN(t, s, 1)
			if err := s.Append(t.Context(), outboxtest.Entry("k", 4)); !errors.Is(err, outbox.ErrFull) {
				t.Errorf("full: %v", err)
			}
			if err := s.Delete(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			appendN(t, s, 1)
		})
	}
}

// A context that has ended must neither leak room nor lose count.
func TestAppendWithContexts(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), outboxfile.Options{MaxEntries: 1000})
	for i := range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*5*time.Microsecond)
		_ = s.Append(ctx, outboxtest.Entry("k", i))
		cancel()
	}
	appendN(t, s, 1) // behind all of them
	st, err := s.Stats(t.Context())
	if n := len(ids(t, s)); err != nil || st.Depth != n {
		t.Errorf("depth %d, %d entries, %v", st.Depth, n, err)
	}
	appendN(t, s, 1000-st.Depth)
	if err := s.Append(t.Context(), outboxtest.Entry("k", 0)); !errors.Is(err, outbox.ErrFull) {
		t.Errorf("over the bound: %v", err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, newPath(b), outboxfile.Options{MaxEntries: 1 << 30, MaxBytes: 1 << 40})
			payload := make([]byte, 256)
			var n atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			done := make(chan struct{})
			for range writers {
				go func() {
					defer func() { done <- struct{}{} }()
					for n.Add(1) <= int64(b.N) {
						e := outboxtest.Entry("k", 1)
						e.Payload = payload
						if err := s.Append(context.Background(), e); err != nil {
							b.Error(err)
							return
						}
					}
				}()
			}
			for range writers {
				<-done
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

func BenchmarkRelay(b *testing.B) {
	s := open(b, newPath(b), outboxfile.Options{MaxEntries: 1 << 30, MaxBytes: 1 << 40})
	for n := 0; n < b.N; n += 100 {
		group := make([]*outbox.Entry, 100)
		for i := range group {
			group[i] = outboxtest.Entry(fmt.Sprint(i), n)
			group[i].Payload = make([]byte, 256)
		}
		if err := s.Append(b.Context(), group...); err != nil {
			b.Fatal(err)
		}
	}
	outcomes := make(chan func(error), 1024)
	go func() {
		for done := range outcomes {
			done(nil)
		}
	}()
	r, err := relay.New(s, func(_ context.Context, _ *outbox.Entry, done func(error)) error {
		outcomes <- done
		return nil
	}, relay.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	ran := make(chan error, 1)
	go func() { ran <- r.Run(b.Context()) }()
	if err := r.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.StopTimer()
	_ = r.Stop(b.Context())
	<-ran
	close(outcomes)
}

// An entry that is named twice needs room once.
func TestRequeueNamesAnEntryTwice(t *testing.T) {
	t.Parallel()
	s, err := outboxfile.Open(filepath.Join(t.TempDir(), "outbox"), outboxfile.Options{MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	e := outboxtest.Entry("k", 1)
	if err := s.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if err := s.Quarantine(t.Context(), e.Seq, "no"); err != nil {
		t.Fatal(err)
	}
	if err := s.RetryQuarantined(t.Context(), e.Seq, e.Seq); err != nil {
		t.Errorf("there is room for it: %v", err)
	}
}
