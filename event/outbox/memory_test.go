package outbox_test

import (
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxtest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	outboxtest.TestStore(t, newMemory)
}

// stores.md 13.
func TestMemoryQuarantineBound(t *testing.T) {
	t.Parallel()
	outboxtest.TestQuarantineBound(t, func(t *testing.T) outbox.Store {
		t.Helper()
		s, err := outbox.NewMemory(outbox.MemoryOptions{MaxQuarantined: 3})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestQuarantineShare(t *testing.T) {
	t.Parallel()
	outboxtest.TestQuarantineShare(t, func(t *testing.T, bytes int64) outbox.Store {
		t.Helper()
		s, err := outbox.NewMemory(outbox.MemoryOptions{MaxQuarantined: 16, MaxQuarantinedBytes: bytes})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]outbox.MemoryOptions{
		"entries": {MaxEntries: 2}, "bytes": {MaxBytes: int64(2 * outboxtest.Entry("k", 1).Size())},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := outbox.NewMemory(o)
			if err != nil {
				t.Fatal(err)
			}
			first := outboxtest.Entry("k", 1)
			must(t, s.Append(t.Context(), first))
			if err := s.Append(t.Context(), outboxtest.Entry("k", 2), outboxtest.Entry("k", 3)); !errors.Is(err, outbox.ErrFull) {
				t.Errorf("Append of two where one fits: %v", err)
			}
			must(t, s.Append(t.Context(), outboxtest.Entry("k", 4)))
			if err := s.Append(t.Context(), outboxtest.Entry("k", 5)); !errors.Is(err, outbox.ErrFull) {
				t.Errorf("Append to a full store: %v", err)
			}
			st, err := s.Stats(t.Context())
			if err != nil || st.Fill() != 1 {
				t.Errorf("Fill = %v, %v; want 1", st.Fill(), err)
			}
			if err := s.Delete(t.Context(), first.Seq); err != nil {
				t.Fatal(err)
			}
			must(t, s.Append(t.Context(), outboxtest.Entry("k", 6)))
		})
	}
	if _, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: -1}); err == nil {
		t.Error("a negative bound was accepted")
	}
}

func TestNewID(t *testing.T) {
	t.Parallel()
	seen, last := map[string]bool{}, ""
	for range 10_000 {
		id := outbox.NewID()
		if len(id) != 36 || id[14] != '7' || seen[id] || id <= last {
			t.Fatalf("id %q after %q", id, last)
		}
		seen[id], last = true, id
	}
}

func BenchmarkNewID(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		outbox.NewID()
	}
}

func newMemory(t *testing.T) outbox.Store {
	t.Helper()
	s, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: 2_000_000, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMemoryDelayed(t *testing.T) {
	t.Parallel()
	outboxtest.TestDelayer(t, func(t *testing.T, maxEntries, maxDelayed int) outboxtest.DelayedStore {
		t.Helper()
		s, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: maxEntries, MaxDelayed: maxDelayed})
		if err != nil {
			t.Fatal(err)
		}
		return s.(outboxtest.DelayedStore)
	})
}
