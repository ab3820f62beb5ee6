package share

import (
	"hash/maphash"
	"sync"
)

const (
	usageRows = 4
	// A row has shareColumns places for each share, within minColumns and maxColumns,
	// so that a sender is not taken for more than it is by a large part of a share.
	minColumns, maxColumns = 1 << 10, 1 << 16
	shareColumns           = 128
)

// Usage follows how much a store of one process holds, of all senders together and
// of each. From its first thing on it takes the same memory whatever there is: 64 KiB
// with the default share, and 4 MiB at most, from a share of 512 on. A sender is counted in one place of each
// of four rows, by hashes that differ from one start to the next, and has what the
// emptiest of the four says. That is what it has, or in a store of many things a
// little more, a thousandth of all at most in practice. Made by [NewUsage]; safe for
// concurrent use.
type Usage struct {
	bounds  Bounds
	seeds   [usageRows]maphash.Seed
	columns uint64

	mu     sync.Mutex
	all    Use
	places [usageRows][]Use // nil before the first thing: many stores never have one
}

// NewUsage returns the usage of an empty store.
func NewUsage(b Bounds) *Usage {
	u := &Usage{bounds: b, columns: uint64(min(max(minColumns, shareColumns*min(b.Share, maxColumns)), maxColumns))}
	for i := range u.seeds {
		u.seeds[i] = maphash.MakeSeed()
	}
	return u
}

// Take takes room for one thing of a sender, unless a bound is told that it has no
// room in.
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

// Add notes things that are there whatever the bounds are, or with numbers below 0
// that they are gone.
func (u *Usage) Add(sender string, count int, bytes int64) {
	at := u.at(sender)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.change(at, count, bytes)
}

// All returns what all things take.
func (u *Usage) All() Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all
}

// Of returns what the things of a sender take, or a little more.
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
