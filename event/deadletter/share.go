package deadletter

import (
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
)

// ErrShare is the error of a Put that would take more than the share of one
// origin, see [Bounds] and [Letter.Origin]. Where it wraps [ErrUnfit], too, bytes
// are what is used up, and a smaller form of the letter may have room. A later Put
// has room once letters of that origin are gone.
var ErrShare = errors.New("deadletter: the share of one origin is used up")

// Defaults of [Bounds].
const (
	DefaultMaxLetters = 100_000
	DefaultMaxBytes   = 1 << 30
	DefaultShare      = 8
)

// Bounds are what a store keeps, and what of that one origin may have: while the
// store is less than half full, as much as it sends; from then on one part of
// Share. So nobody fills a store alone, and a service with one busy topic has half
// of it.
type Bounds struct {
	// Letters and Bytes are what all letters together may be; 0 is no bound.
	Letters int
	Bytes   int64
	// Share is how many origins the store has room for at least: one may have a
	// Share-th part of either bound once the store is half full. 0 is 8, 1 is no
	// bound for an origin.
	Share int
}

// WithDefaults returns the bounds with the defaults in the place of zeros.
func (b Bounds) WithDefaults() Bounds {
	if b.Letters == 0 {
		b.Letters = DefaultMaxLetters
	}
	if b.Bytes == 0 {
		b.Bytes = DefaultMaxBytes
	}
	if b.Share == 0 {
		b.Share = DefaultShare
	}
	return b
}

// smallest is what the smallest form of a letter takes at most, see [Letter.Smaller]:
// there is none to ask for instead.
const smallest = 4 << 10

// Use is how many letters there are, and how many bytes they take.
type Use struct {
	Letters int
	Bytes   int64
}

func (u *Use) add(letters int, bytes int64) { u.Letters, u.Bytes = u.Letters+letters, u.Bytes+bytes }

// Room returns nil when one more letter, of size bytes, has room, and otherwise
// [ErrShare], [ErrFull], or [ErrUnfit] for one that is larger than what it may ever
// have. all is what all letters take. own returns what those of the same origin take; it
// is called only when that matters, and its error is returned. An origin that has its
// share gets ErrShare also where the store is full, so that it never waits for others.
func (b Bounds) Room(size int64, all Use, own func() (Use, error)) error {
	if b.Bytes > 0 && size > b.Bytes {
		return fmt.Errorf("%w: it has %d bytes, and all letters may have %d", ErrUnfit, size, b.Bytes)
	}
	// Which of the bounds is more than half used up.
	letters, bytes := b.Letters > 0 && 2*(all.Letters+1) > b.Letters, b.Bytes > 0 && 2*(all.Bytes+size) > b.Bytes
	share := b.Share
	if share == 0 {
		share = DefaultShare
	}
	if most := b.Bytes / int64(share); share > 1 && bytes && size > max(most, smallest) {
		return fmt.Errorf("%w: it has %d bytes, and one origin may have %d while the store is more than half full", ErrUnfit, size, most)
	}
	if share > 1 && (letters || bytes) {
		of, err := own()
		if err != nil {
			return err
		}
		if most := max(1, b.Letters/share); letters && of.Letters+1 > most {
			return fmt.Errorf("%w: it has %d letters, and may have %d while the store is more than half full", ErrShare, of.Letters, most)
		}
		if most := b.Bytes / int64(share); bytes && of.Bytes+size > most {
			return fmt.Errorf("%w: it has %d bytes, and may have %d while the store is more than half full: %w", ErrShare, of.Bytes, most, ErrUnfit)
		}
	}
	switch {
	case b.Letters > 0 && all.Letters+1 > b.Letters:
		return fmt.Errorf("%w: it has %d letters, and may have %d", ErrFull, all.Letters, b.Letters)
	case b.Bytes > 0 && all.Bytes+size > b.Bytes:
		return fmt.Errorf("%w: it has %d bytes, and may have %d", ErrFull, all.Bytes, b.Bytes)
	}
	return nil
}

const (
	usageRows = 4
	// A row has shareColumns places for each share, within minColumns and maxColumns,
	// so that an origin is not taken for more than it is by a large part of a share.
	minColumns, maxColumns = 1 << 10, 1 << 16
	shareColumns           = 128
)

// Usage follows how much a store of one process holds, of all origins together and
// of each. It takes the same memory whatever there is: 64 KiB with the default share,
// and 4 MiB at most, from a share of 512 on. An origin is counted in one place of each
// of four rows, by hashes that differ from one start to the next, and has what the
// emptiest of the four says. That is what it has, or in a store of many letters a
// little more, a thousandth of all at most in practice. Made by [NewUsage]; safe for
// concurrent use.
type Usage struct {
	bounds Bounds
	seeds  [usageRows]maphash.Seed

	mu     sync.Mutex
	all    Use
	places [usageRows][]Use
}

// NewUsage returns the usage of an empty store.
func NewUsage(b Bounds) *Usage {
	u := &Usage{bounds: b}
	columns := min(max(minColumns, shareColumns*min(b.Share, maxColumns)), maxColumns)
	for i := range u.seeds {
		u.seeds[i], u.places[i] = maphash.MakeSeed(), make([]Use, columns)
	}
	return u
}

// Take takes room for a letter, or returns [ErrShare] or [ErrFull].
func (u *Usage) Take(origin string, size int64) error {
	at := u.at(origin)
	u.mu.Lock()
	defer u.mu.Unlock()
	err := u.bounds.Room(size, u.all, func() (Use, error) { return u.of(at), nil })
	if err == nil {
		u.change(at, 1, size)
	}
	return err
}

// Add notes letters that are there whatever the bounds are, or with numbers below 0
// that they are gone.
func (u *Usage) Add(origin string, letters int, bytes int64) {
	at := u.at(origin)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.change(at, letters, bytes)
}

// All returns what all letters take.
func (u *Usage) All() Use {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.all
}

// Of returns what the letters of an origin take, or a little more.
func (u *Usage) Of(origin string) Use {
	at := u.at(origin)
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.of(at)
}

func (u *Usage) at(origin string) (at [usageRows]int) {
	for i, seed := range u.seeds {
		at[i] = int(maphash.String(seed, origin) % uint64(len(u.places[i])))
	}
	return at
}

func (u *Usage) of(at [usageRows]int) Use {
	least := u.places[0][at[0]]
	for row := 1; row < usageRows; row++ {
		place := u.places[row][at[row]]
		least.Letters, least.Bytes = min(least.Letters, place.Letters), min(least.Bytes, place.Bytes)
	}
	return least
}

func (u *Usage) change(at [usageRows]int, letters int, bytes int64) {
	u.all.add(letters, bytes)
	for row, column := range at {
		u.places[row][column].add(letters, bytes)
	}
}
