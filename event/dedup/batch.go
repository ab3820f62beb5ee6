package dedup

import (
	"context"
	"fmt"
)

// BatchWindow is a [Window] that takes many ids at once, so that the messages of
// a batch share one transaction. Safe for concurrent use.
type BatchWindow interface {
	Window
	// OnceEach runs effect once for those ids that are not remembered, and
	// remembers the ids whose effect succeeded. The ids are distinct, and none is
	// empty. effect receives the places in ids of those to handle, ascending, and
	// is not called when there are none. It returns nil, or one error for each of
	// these places, nil where the effect succeeded: what failed is not remembered
	// and is to be delivered again, the others are not held up by it. What effect
	// returns beside them, or a panic, is about all: then nothing is remembered,
	// and OnceEach fails. The outcomes are those of ids, in order.
	//
	// A window of SQL runs effect with its transaction in the context (package
	// sqltx), and everything commits together: what effect wrote for an id that it
	// then reports as failed is committed too, unless it undid that itself
	// ([sqltx.Nested]).
	//
	// An id that another call is handling has the error [ErrRunning] in its outcome,
	// and effect runs for the others. A window that knows of such an id only for all
	// of them fails with [ErrRunning], and runs nothing.
	OnceEach(ctx context.Context, ids []string, effect EachEffect) ([]Outcome, error)
}

// EachEffect is what [BatchWindow.OnceEach] runs.
type EachEffect func(ctx context.Context, fresh []int) (failed []error, err error)

// Outcome is what became of one id of [BatchWindow.OnceEach].
type Outcome struct {
	// Duplicate is set when the id was remembered, so that nothing was done.
	Duplicate bool
	// Err is why the effect of this id failed, or [ErrRunning] when it did not run;
	// then the id is not remembered.
	Err error
}

// CheckIDs reports what every window refuses: an empty id is [ErrNoID], and an id
// that occurs twice an error. It is for implementations of [BatchWindow].
func CheckIDs(ids []string) error {
	seen := make(map[string]struct{}, len(ids))
	for _, id := range ids {
		if id == "" {
			return ErrNoID
		}
		seen[id] = struct{}{}
	}
	if len(seen) != len(ids) {
		return fmt.Errorf("dedup: %d of %d ids occur again in one batch", len(ids)-len(seen), len(ids))
	}
	return nil
}

// Run calls the effect and checks that it decided about each place or about all.
// It is for implementations of [BatchWindow].
func (effect EachEffect) Run(ctx context.Context, fresh []int) (failed []error, err error) {
	failed, err = effect(ctx, fresh)
	if err == nil && failed != nil && len(failed) != len(fresh) {
		err = fmt.Errorf("dedup: the effect decided about %d of %d ids", len(failed), len(fresh))
	}
	if err == nil && failed == nil {
		failed = make([]error, len(fresh))
	}
	return failed, err
}
