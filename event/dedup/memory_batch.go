package dedup

import (
	"context"
	"slices"
)

var _ BatchWindow = (*memory)(nil)

// OnceEach implements [BatchWindow].
func (m *memory) OnceEach(ctx context.Context, ids []string, effect EachEffect) ([]Outcome, error) {
	if err := CheckIDs(ids); err != nil {
		return nil, err
	}
	outcomes := make([]Outcome, len(ids))
	mine := make([]int, 0, len(ids))
	done := make([]bool, len(ids))
	defer func() { // even if the effect panics
		for _, i := range mine {
			m.release(ids[i], done[i])
		}
	}()
	for i, id := range ids {
		duplicate, err := m.claim(id)
		if outcomes[i] = (Outcome{duplicate, err}); !duplicate && err == nil {
			mine = append(mine, i)
		}
	}
	if len(mine) == 0 {
		return outcomes, nil
	}
	failed, err := effect.Run(ctx, slices.Clone(mine))
	if err != nil {
		return nil, err
	}
	for n, i := range mine {
		outcomes[i].Err, done[i] = failed[n], failed[n] == nil
	}
	return outcomes, nil
}
