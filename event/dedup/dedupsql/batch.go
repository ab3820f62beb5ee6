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

// OnceEach implements [dedup.BatchWindow]: one transaction, in which one
// statement claims all ids and another one takes back those whose effect failed.
// What is said of Once about transactions and waiting holds for it.
func (w *Window) OnceEach(ctx context.Context, ids []string, effect dedup.EachEffect) ([]dedup.Outcome, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	keys := make([]string, len(ids))
	for i, id := range ids {
		if keys[i] = id; id != "" { // the hash of "" is an id
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
	err := sqltx.Nested(ctx, w.db, func(ctx context.Context) error {
		fresh, err := w.claimAll(ctx, keys, outcomes)
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

// claimAll returns the places of the keys that were not there, and marks the
// others as duplicates. The keys go to the database in one order, so that two
// batches never wait for each other.
func (w *Window) claimAll(ctx context.Context, keys []string, outcomes []dedup.Outcome) (fresh []int, err error) {
	text, err := json.Marshal(slices.Sorted(slices.Values(keys)))
	if err != nil {
		return nil, err
	}
	rows, err := w.claimEach.Query(ctx, string(text), w.o.TTL.Milliseconds())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	claimed := make(map[string]struct{}, len(keys))
	for rows.Next() {
		var key string
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		claimed[key] = struct{}{}
	}
	for i, key := range keys {
		if _, ok := claimed[key]; ok {
			fresh = append(fresh, i)
		} else {
			outcomes[i].Duplicate = true
		}
	}
	return fresh, rows.Err()
}

// release takes back the keys whose effect failed.
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
