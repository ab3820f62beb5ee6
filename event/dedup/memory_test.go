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

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
)

func window(t *testing.T, o dedup.MemoryOptions) dedup.Window {
	t.Helper()
	w, err := dedup.NewMemory(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// once runs an effect that counts.
func once(t *testing.T, w dedup.Window, id string, n *int) (duplicate bool) {
	t.Helper()
	duplicate, err := w.Once(t.Context(), id, func(context.Context) error { *n++; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return duplicate
}

func TestMemoryRunsOnce(t *testing.T) {
	t.Parallel()
	w, n := window(t, dedup.MemoryOptions{}), 0
	if once(t, w, "a", &n) || !once(t, w, "a", &n) || once(t, w, "b", &n) || n != 2 {
		t.Errorf("%d effects, want 2", n)
	}
	if _, err := w.Once(t.Context(), "", nil); !errors.Is(err, dedup.ErrNoID) {
		t.Errorf("err = %v", err)
	}
}

func TestMemoryForgetsWhatFailed(t *testing.T) {
	t.Parallel()
	w, n := window(t, dedup.MemoryOptions{}), 0
	boom := errors.New("boom")
	if duplicate, err := w.Once(t.Context(), "a", func(context.Context) error { return boom }); duplicate || !errors.Is(err, boom) {
		t.Errorf("%t, %v", duplicate, err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = w.Once(t.Context(), "a", func(context.Context) error { panic("boom") })
	}()
	if once(t, w, "a", &n) || n != 1 {
		t.Error("a failed effect counts as done")
	}
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	w, n := window(t, dedup.MemoryOptions{MaxIDs: 10}), 0
	for i := range 11 {
		once(t, w, fmt.Sprint(i), &n)
	}
	if !once(t, w, "10", &n) || once(t, w, "0", &n) {
		t.Error("the oldest id is not the one that is forgotten")
	}
}

// The bubble's clock has no wall clock to jump; that the window goes by the
// monotonic reading shows in that it needs nothing else.
func TestMemoryForgetsAfterItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, n := window(t, dedup.MemoryOptions{TTL: time.Hour}), 0
		once(t, w, "a", &n)
		<-time.After(time.Hour - 1)
		if !once(t, w, "a", &n) {
			t.Error("forgotten too early")
		}
		<-time.After(1)
		if once(t, w, "a", &n) {
			t.Error("not forgotten")
		}
	})
}

func TestMemoryWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := window(t, dedup.MemoryOptions{})
		var ran, duplicates atomic.Int64
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				duplicate, err := w.Once(t.Context(), "a", func(context.Context) error {
					<-time.After(time.Minute)
					if ran.Add(1) == 1 {
						return errors.New("the first fails")
					}
					return nil
				})
				if duplicate && err == nil {
					duplicates.Add(1)
				}
			})
		}
		wg.Wait()
		if ran.Load() != 2 || duplicates.Load() != 8 {
			t.Errorf("%d effects, %d duplicates", ran.Load(), duplicates.Load())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			_, _ = w.Once(t.Context(), "b", func(context.Context) error { <-time.After(time.Hour); return nil })
		}()
		synctest.Wait()
		if _, err := w.Once(ctx, "b", func(context.Context) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v", err)
		}
		<-time.After(time.Hour)
	})
}

func TestMemoryRefusesNegativeBounds(t *testing.T) {
	t.Parallel()
	for _, o := range []dedup.MemoryOptions{{MaxIDs: -1}, {TTL: -1}} {
		if _, err := dedup.NewMemory(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func BenchmarkMemory(b *testing.B) {
	w, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		b.Fatal(err)
	}
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = fmt.Sprintf("0198c5e1-0000-7000-8000-%012d", i)
	}
	b.ReportAllocs()
	for i := range b.N {
		_, _ = w.Once(context.Background(), ids[i&(len(ids)-1)], func(context.Context) error { return nil })
	}
}
