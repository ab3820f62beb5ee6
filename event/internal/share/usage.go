package share

import (
	"hash/maphash"
	"sync"
)

const (
	usageRows = 4
	// A row has shareColumns places for each share, between minColumns and maxColumns, so that
	// hash collisions overestimate a sender by a small part of a share only.
	minColumns, maxColumns = 1 << 10, 1 << 16
	shareColumns           = 128
)

// Usage tracks how much a store of one process contains, in total and per sender. Its memory
// is constant from the first item on: 64 KiB with the default share, and at most 4 MiB, for a
// share of 512 or more. A sender is counted in one place of each of four rows, chosen by
// hashes that differ from one start to the next, and the lowest of the four values is its use.
// It is exact or, in a store of many items, slightly too high, in practice by at most a
// thousandth of the total. Create it with [NewUsage]. It is safe for concurrent use.
type Usage struct {
	bounds  Bounds
	seeds   [usageRows]maphash.Seed
	columns uint64

	mu     sync.Mutex
	all    Use
	places [usageRows][]Use // nil before the first item: many stores stay empty
}

// NewUsage returns the usage of an empty store.
func NewUsage(b Bounds) *Usage {
	u := &Usage{bounds: b, columns: uint64(min(max(minColumns, shareColumns*min(b.Share, maxColumns)), maxColumns))}
	for i := range u.seeds {
		u.seeds[i] = maphash.MakeSeed()
	}
	return u
}

// Take reserves room for one item of a sender, or returns the limit that would be exceeded.
func (u *Usage) Take(sender string, size int64) Verdict {
	at := u.at(sender)
	u.mu.Lock()
	defer u.mu.Unlock()
	v, _ := u.bounds.Room(size, u.all, func() (Use, error) { return u.of(at), nil })
	if v.Limit == None {
		u.change(at, 1, size)
	}
	return v
}

// Add adds items without checking the limits; negative numbers remove items.
func (u *Usage) Add(sender string, count int, bytes int64) {
	at := u.at(sender)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.change(at, count, bytes)
}

// All returns the use of all senders.
func (u *Usage) All() Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all
}

// Of returns the use of a sender. It may be slightly too high.
func (u *Usage) Of(sender string) Use {
	at := u.at(sender)
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.of(at)
}

func (u *Usage) at(sender string) (at [usageRows]int) {
	for i, seed := range u.seeds {
		at[i] = int(maphash.String(seed, sender) % u.columns)
	}
	return at
}

func (u *Usage) of(at [usageRows]int) Use {
	if u.places[0] == nil {
		return Use{}
	}
	least := u.places[0][at[0]]
	for row := 1; row < usageRows; row++ {
		place := u.places[row][at[row]]
		least.Count, least.Bytes = min(least.Count, place.Count), min(least.Bytes, place.Bytes)
	}
	return least
}

func (u *Usage) change(at [usageRows]int, count int, bytes int64) {
	u.all.add(count, bytes)
	for row, column := range at {
		if u.places[row] == nil {
			u.places[row] = make([]Use, u.columns)
		}
		u.places[row][column].add(count, bytes)
	}
}
