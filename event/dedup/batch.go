package dedup

import (
	"context"
	"fmt"
)

// BatchWindow is a [Window] that handles many ids in one call, so that the messages of a batch
// share a transaction. It is safe for concurrent use.
type BatchWindow interface {
	Window
	// OnceEach runs effect once for the ids that are not remembered, and remembers the ids
	// whose effect succeeded. The ids must be distinct and not empty. effect receives the
	// indexes in ids of those to handle, in ascending order, and is not called if there are
	// none. It returns nil, or one error per index: nil where the effect succeeded. An id with
	// an error is not remembered, so its message is to be delivered again; the other ids are
	// unaffected. If effect returns err or panics, no id is remembered and OnceEach fails. The
	// outcomes are in the order of ids.
	//
	// An SQL window runs effect with its transaction in the context (package sqltx), and
	// everything is committed together. Writes of effect for an id that it reports as failed
	// are committed too, unless effect undoes them itself ([sqltx.Nested]).
	//
	// An id that another call is handling has [ErrRunning] as the error of its outcome, and
	// effect runs for the other ids. A window that cannot determine which of the ids is being
	// handled fails with [ErrRunning] and runs nothing.
	OnceEach(ctx context.Context, ids []string, effect EachEffect) ([]Outcome, error)
}

// EachEffect is the function that [BatchWindow.OnceEach] runs.
type EachEffect func(ctx context.Context, fresh []int) (failed []error, err error)

// Outcome is the result for one id of [BatchWindow.OnceEach].
type Outcome struct {
	// Duplicate is set if the id was remembered, so the effect did not run.
	Duplicate bool
	// Err is the error of the effect for this id, or [ErrRunning] if the effect did not run.
	// The id is not remembered then.
	Err error
}

// CheckIDs returns [ErrNoID] for an empty id, and an error for an id that occurs twice. It is
// for implementations of [BatchWindow].
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

// Run calls the effect and checks that it returned one error per index, or none. It is for
// implementations of [BatchWindow].
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
