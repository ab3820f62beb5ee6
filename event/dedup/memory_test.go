package dedup_test

import (
	"context"
	"errors"
	"fmt"
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

// The second call with an id fails at once, and is notified when the first has ended: after a
// failure it may run the effect.
func TestMemoryDoesNotWaitForTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := window(t, dedup.MemoryOptions{})
		nothing := func(context.Context) error { return nil }
		for _, outcome := range []error{errors.New("the first fails"), nil} {
			over := make(chan struct{})
			go func() {
				_, _ = w.Once(t.Context(), "a", func(context.Context) error { <-over; return outcome })
			}()
			synctest.Wait()
			var told atomic.Int64
			for range 10 {
				_, err := w.Once(t.Context(), "a", nothing)
				running, ok := errors.AsType[*dedup.RunningError](err)
				if !ok || !errors.Is(err, dedup.ErrRunning) {
					t.Fatalf("err = %v", err)
				}
				running.OnEnd(func() { told.Add(1) })
			}
			if n := told.Load(); n != 0 {
				t.Errorf("told %d times before the end", n)
			}
			close(over)
			synctest.Wait()
			if n := told.Load(); n != 10 {
				t.Errorf("told %d times, want 10", n)
			}
		}
		if duplicate, err := w.Once(t.Context(), "a", nothing); !duplicate || err != nil {
			t.Errorf("%t, %v", duplicate, err)
		}
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
