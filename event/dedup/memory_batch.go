package dedup

import (
	"context"
	"slices"
	"strings"
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
	defer func() { // also when the effect panics
		for _, i := range mine {
			m.release(ids[i], done[i])
		}
	}()
	// In one order, so that two batches never wait for each other.
	for _, i := range sorted(ids) {
		duplicate, err := m.await(ctx, ids[i])
		if err != nil {
			return nil, err
		}
		if outcomes[i].Duplicate = duplicate; !duplicate {
			mine = append(mine, i)
		}
	}
	if len(mine) == 0 {
		return outcomes, nil
	}
	slices.Sort(mine)
	failed, err := effect.Run(ctx, slices.Clone(mine))
	if err != nil {
		return nil, err
	}
	for n, i := range mine {
		outcomes[i].Err, done[i] = failed[n], failed[n] == nil
	}
	return outcomes, nil
}

// sorted returns the places of ids in the order of the ids.
func sorted(ids []string) []int {
	places := make([]int, len(ids))
	for i := range places {
		places[i] = i
	}
	slices.SortFunc(places, func(a, b int) int { return strings.Compare(ids[a], ids[b]) })
	return places
}
