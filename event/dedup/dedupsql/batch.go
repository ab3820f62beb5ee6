package dedupsql

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

var _ dedup.BatchWindow = (*Window)(nil)

// OnceEach implements [dedup.BatchWindow] in one transaction: one statement claims all ids,
// and another one releases those whose effect failed. Transactions and waiting are as
// described at Once.
func (w *Window) OnceEach(ctx context.Context, ids []string, effect dedup.EachEffect) ([]dedup.Outcome, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		if keys[i] = id; id != "" { // the hash of "" would pass as an id
			keys[i] = stored(id)
		}
	}
	if err := dedup.CheckIDs(keys); err != nil {
		return nil, err
	}
	if err := prepare(ctx, w.claimEach, w.releaseEach); err != nil {
		return nil, fmt.Errorf("dedupsql: %w", err)
	}
	outcomes, due := make([]dedup.Outcome, len(ids)), false
	mine, taken := make([]int, 0, len(keys)), make([]string, 0, len(keys))
	defer func() { w.running.End(taken...) }() // even if the effect panics
	for i, key := range keys {
		if err := w.running.Begin(key); err != nil {
			outcomes[i].Err = err
			continue
		}
		mine, taken = append(mine, i), append(taken, key)
	}
	if len(mine) == 0 {
		return outcomes, nil
	}
	err := sqltx.Nested(ctx, w.db, func(ctx context.Context) error {
		fresh, err := w.claimAll(ctx, keys, mine, outcomes)
		if err != nil {
			return fmt.Errorf("dedupsql: %w", err)
		}
		if len(fresh) == 0 {
			return nil
		}
		n := uint64(len(fresh))
		due = w.calls.Add(n)%purgeEvery < n
		failed, err := effect.Run(ctx, slices.Clone(fresh))
		if err != nil {
			return err
		}
		return w.release(ctx, keys, fresh, failed, outcomes)
	})
	if err != nil {
		outcomes = nil
	}
	if due {
		w.purgeAfter(ctx)
	}
	return outcomes, err
}

// claimAll claims the keys at the indexes in mine, returns the indexes of those that were not
// remembered, and marks the others as duplicates.
func (w *Window) claimAll(ctx context.Context, keys []string, mine []int, outcomes []dedup.Outcome) (fresh []int, err error) {
	wanted := make([]string, len(mine))
	for n, i := range mine {
		wanted[n] = keys[i]
	}
	claimed, err := w.claimed(ctx, wanted)
	if err != nil {
		return nil, err
	}
	for _, i := range mine {
		if _, ok := claimed[keys[i]]; ok {
			fresh = append(fresh, i)
		} else {
			outcomes[i].Duplicate = true
		}
	}
	return fresh, nil
}

// release deletes the keys whose effect failed.
func (w *Window) release(ctx context.Context, keys []string, fresh []int, failed []error, outcomes []dedup.Outcome) error {
	var back []string
	for n, i := range fresh {
		if outcomes[i].Err = failed[n]; failed[n] != nil {
			back = append(back, keys[i])
		}
	}
	if len(back) == 0 {
		return nil
	}
	text, err := json.Marshal(back)
	if err != nil {
		return err
	}
	if _, err := w.releaseEach.Exec(ctx, string(text)); err != nil {
		return fmt.Errorf("dedupsql: %w", err)
	}
	return nil
}

func prepare(ctx context.Context, statements ...*sqltx.Prepared) error {
	for _, s := range statements {
		if err := s.Prepare(ctx); err != nil {
			return err
		}
	}
	return nil
}
