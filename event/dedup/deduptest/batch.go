// Package deduptest tests implementations of dedup windows.
package deduptest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
)

var errBoom = errors.New("boom")

// Batches tests the [dedup.BatchWindow] that open returns. Each call of open must return an
// empty window that remembers ids for at least an hour.
func Batches(t *testing.T, open func(t *testing.T) dedup.BatchWindow) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, dedup.BatchWindow){
		"each id once":                   eachOnce,
		"what failed is not remembered":  failedItems,
		"an error about all":             wholeError,
		"a panic":                        panics,
		"one memory with Once":           withOnce,
		"ids that no window takes":       refused,
		"batches with ids in common":     inCommon,
		"an id that is being handled":    running,
		"an effect that decides wrongly": wrongDecision,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

// batch calls OnceEach with an effect that fails for the ids in failing, and returns the ids
// that the effect was called with.
func batch(t *testing.T, w dedup.BatchWindow, ids []string, failing ...string) (got []string, outcomes []dedup.Outcome) {
	t.Helper()
	outcomes, err := w.OnceEach(t.Context(), ids, func(_ context.Context, fresh []int) ([]error, error) {
		failed := make([]error, len(fresh))
		for n, i := range fresh {
			got = append(got, ids[i])
			if slices.Contains(failing, ids[i]) {
				failed[n] = errBoom
			}
		}
		return failed, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(outcomes) != len(ids) {
		t.Fatalf("%d outcomes of %d ids", len(outcomes), len(ids))
	}
	return got, outcomes
}

func want(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

func eachOnce(t *testing.T, w dedup.BatchWindow) {
	// The order differs from that of the ids, and one id needs quoting.
	got, _ := batch(t, w, []string{"c", `"a'`, "ü<>"})
	want(t, "first batch", got, []string{"c", `"a'`, "ü<>"})
	got, outcomes := batch(t, w, []string{"d", "c", "b", "ü<>"})
	want(t, "second batch", got, []string{"d", "b"})
	if outcomes[0].Duplicate || !outcomes[1].Duplicate || outcomes[2].Duplicate || !outcomes[3].Duplicate {
		t.Errorf("outcomes %+v", outcomes)
	}
	got, _ = batch(t, w, []string{"b", "c", "d"})
	want(t, "batch of duplicates", got, nil)
	if outcomes, err := w.OnceEach(t.Context(), nil, nil); err != nil || len(outcomes) > 0 {
		t.Errorf("no ids: %v, %v", outcomes, err)
	}
}

func failedItems(t *testing.T, w dedup.BatchWindow) {
	_, outcomes := batch(t, w, []string{"a", "bad", "c"}, "bad")
	if outcomes[0].Err != nil || !errors.Is(outcomes[1].Err, errBoom) || outcomes[2].Err != nil {
		t.Errorf("outcomes %+v", outcomes)
	}
	got, _ := batch(t, w, []string{"a", "bad", "c"})
	want(t, "second delivery", got, []string{"bad"})
}

func wholeError(t *testing.T, w dedup.BatchWindow) {
	outcomes, err := w.OnceEach(t.Context(), []string{"a", "b"}, func(context.Context, []int) ([]error, error) { return nil, errBoom })
	if !errors.Is(err, errBoom) || outcomes != nil {
		t.Errorf("%v, %v", outcomes, err)
	}
	got, _ := batch(t, w, []string{"a", "b"})
	want(t, "second delivery", got, []string{"a", "b"})
}

func panics(t *testing.T, w dedup.BatchWindow) {
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_, _ = w.OnceEach(t.Context(), []string{"a"}, func(context.Context, []int) ([]error, error) {
			panic("boom") //nolint:forbidigo // what a handler may do
		})
	}()
	got, _ := batch(t, w, []string{"a"})
	want(t, "second delivery", got, []string{"a"})
}

func withOnce(t *testing.T, w dedup.BatchWindow) {
	nothing := func(context.Context) error { return nil }
	if duplicate, err := w.Once(t.Context(), "single", nothing); duplicate || err != nil {
		t.Fatal(duplicate, err)
	}
	got, _ := batch(t, w, []string{"batched", "single"})
	want(t, "batch", got, []string{"batched"})
	if duplicate, err := w.Once(t.Context(), "batched", nothing); !duplicate || err != nil {
		t.Errorf("an id of a batch, singly: duplicate %v, %v", duplicate, err)
	}
}

func refused(t *testing.T, w dedup.BatchWindow) {
	effect := func(context.Context, []int) ([]error, error) {
		t.Error("the effect was called")
		return nil, nil
	}
	if _, err := w.OnceEach(t.Context(), []string{"a", ""}, effect); !errors.Is(err, dedup.ErrNoID) {
		t.Errorf("an empty id: %v", err)
	}
	if _, err := w.OnceEach(t.Context(), []string{"a", "b", "a"}, effect); err == nil {
		t.Error("an id that occurs twice is no error")
	}
}

func wrongDecision(t *testing.T, w dedup.BatchWindow) {
	_, err := w.OnceEach(t.Context(), []string{"a", "b"}, func(context.Context, []int) ([]error, error) { return []error{nil}, nil })
	if err == nil {
		t.Error("one decision about two ids is no error")
	}
	got, _ := batch(t, w, []string{"a", "b"})
	want(t, "second delivery", got, []string{"a", "b"})
}

// inCommon runs batches of the same ids in different orders concurrently: they must not
// deadlock, and each id has one effect. Ids that another batch is handling are handed over
// again, as a subscriber does.
func inCommon(t *testing.T, w dedup.BatchWindow) {
	const batches, size = 8, 25
	ids := make([]string, size)
	for i := range ids {
		ids[i] = fmt.Sprintf("id-%02d", i)
	}
	var effects, duplicates atomic.Int64
	var wg sync.WaitGroup
	for n := range batches {
		mine := slices.Clone(ids)
		if n%2 == 1 {
			slices.Reverse(mine)
		}
		wg.Go(func() {
			for len(mine) > 0 && t.Context().Err() == nil {
				outcomes, err := w.OnceEach(t.Context(), mine, func(_ context.Context, fresh []int) ([]error, error) {
					effects.Add(int64(len(fresh)))
					return nil, nil
				})
				if err != nil && !errors.Is(err, dedup.ErrRunning) {
					t.Error(err)
					return
				}
				var again []string
				for i, id := range mine {
					switch {
					case err != nil || errors.Is(outcomes[i].Err, dedup.ErrRunning):
						again = append(again, id)
					case outcomes[i].Duplicate:
						duplicates.Add(1)
					}
				}
				mine = again
			}
		})
	}
	wg.Wait()
	if effects.Load() != size || duplicates.Load() != (batches-1)*size {
		t.Errorf("%d effects and %d duplicates of %d ids in %d batches", effects.Load(), duplicates.Load(), size, batches)
	}
}

// running calls a batch with an id that another call is handling: the batch does not wait, and
// afterwards the id is a duplicate.
func running(t *testing.T, w dedup.BatchWindow) {
	inside, over := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := w.OnceEach(t.Context(), []string{"a", "b"}, func(context.Context, []int) ([]error, error) {
			close(inside)
			<-over
			return nil, nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	<-inside
	outcomes, err := w.OnceEach(t.Context(), []string{"b"}, func(context.Context, []int) ([]error, error) {
		t.Error("an effect ran beside the one of its id")
		return nil, nil
	})
	if err == nil && len(outcomes) == 1 {
		err = outcomes[0].Err
	}
	if !errors.Is(err, dedup.ErrRunning) {
		t.Errorf("a batch: %v, want %v", err, dedup.ErrRunning)
	}
	_, err = w.Once(t.Context(), "a", func(context.Context) error { t.Error("an effect ran beside the one of its id"); return nil })
	if !errors.Is(err, dedup.ErrRunning) {
		t.Errorf("a single one: %v, want %v", err, dedup.ErrRunning)
	}
	close(over)
	wg.Wait()
	got, _ := batch(t, w, []string{"a", "b", "c"})
	want(t, "afterwards", got, []string{"c"})
}
