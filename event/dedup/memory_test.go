package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newMemory(tb testing.TB, o dedup.MemoryOptions) dedup.Window {
	tb.Helper()
	w, err := dedup.NewMemory(o)
	if err != nil {
		tb.Fatal(err)
	}
	return w
}

func nothing(context.Context) error { return nil }

// want calls Once and compares whether the id was remembered.
func want(t *testing.T, w dedup.Window, id string, duplicate bool) {
	t.Helper()
	ran := false
	got, err := w.Once(t.Context(), id, func(context.Context) error { ran = true; return nil })
	if err != nil || got != duplicate || ran == duplicate {
		t.Errorf("Once(%q) = %v, %v, effect ran: %v; want duplicate %v", id, got, err, ran, duplicate)
	}
}

func TestMemoryOnce(t *testing.T) {
	t.Parallel()
	w := newMemory(t, dedup.MemoryOptions{})
	for range 3 {
		want(t, w, "first", false)
		want(t, w, "first", true)
		w = newMemory(t, dedup.MemoryOptions{})
	}
	want(t, w, "orders/first", false)
	want(t, w, "audit/first", false)
}

func TestMemoryFailureFreesTheID(t *testing.T) {
	t.Parallel()
	w := newMemory(t, dedup.MemoryOptions{})
	failure := errors.New("no luck")
	if duplicate, err := w.Once(t.Context(), "id", func(context.Context) error { return failure }); duplicate || !errors.Is(err, failure) {
		t.Errorf("Once = %v, %v", duplicate, err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_, _ = w.Once(t.Context(), "id", func(context.Context) error { panic("bad luck") })
	}()
	want(t, w, "id", false)
	want(t, w, "id", true)
}

func TestMemoryBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newMemory(t, dedup.MemoryOptions{MaxIDs: 3, TTL: time.Hour})
		for i := range 4 {
			want(t, w, fmt.Sprint(i), false)
			time.Sleep(time.Minute) // of the clock of synctest
		}
		want(t, w, "3", true)
		want(t, w, "1", true)
		want(t, w, "0", false) // was the oldest of four
		time.Sleep(59*time.Minute - time.Second)
		want(t, w, "3", true) // seeing it again does not make it younger
		time.Sleep(2 * time.Second)
		want(t, w, "0", true)
		want(t, w, "3", false)
	})
}

func TestMemorySecondCallWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{nil, errors.New("no luck")} {
		synctest.Test(t, func(t *testing.T) {
			w := newMemory(t, dedup.MemoryOptions{})
			release := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				_, _ = w.Once(t.Context(), "id", func(context.Context) error { <-release; return failure })
			})
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := w.Once(ctx, "id", nothing); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("waiting beyond its context: %v", err)
			}
			wg.Go(func() {
				duplicate, err := w.Once(t.Context(), "id", nothing)
				if duplicate != (failure == nil) || err != nil {
					t.Errorf("after an effect that returned %v: %v, %v", failure, duplicate, err)
				}
			})
			want(t, w, "another", false)
			synctest.Wait()
			close(release)
			wg.Wait()
		})
	}
}

func TestMemoryConcurrently(t *testing.T) {
	t.Parallel()
	w := newMemory(t, dedup.MemoryOptions{})
	const ids = 200
	var effects [ids]atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range ids {
				_, _ = w.Once(t.Context(), fmt.Sprint(i), func(context.Context) error { effects[i].Add(1); return nil })
			}
		})
	}
	wg.Wait()
	for i := range effects {
		if n := effects[i].Load(); n != 1 {
			t.Errorf("effect %d happened %d times", i, n)
		}
	}
}

func TestMemoryOptionsAreChecked(t *testing.T) {
	t.Parallel()
	_, err := dedup.NewMemory(dedup.MemoryOptions{MaxIDs: -1, TTL: -1})
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 2 {
		t.Errorf("NewMemory: %v, want two problems", err)
	}
}

func BenchmarkMemoryOnce(b *testing.B) {
	w := newMemory(b, dedup.MemoryOptions{})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := w.Once(b.Context(), fmt.Sprint(i), nothing); err != nil {
			b.Fatal(err)
		}
	}
}
