package deadletter

import (
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/share"
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
	DefaultShare      = share.Default
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

// Use is how many letters there are, and how many bytes they take.
type Use struct {
	Letters int
	Bytes   int64
}

// smallest is what the smallest form of a letter takes at most, see [Letter.Smaller]:
// there is none to ask for instead.
const smallest = 4 << 10

// Room returns nil when one more letter, of size bytes, has room, and otherwise
// [ErrShare], [ErrFull], or [ErrUnfit] for one that is larger than what it may ever
// have. all is what all letters take. own returns what those of the same origin take; it
// is called only when that matters, and its error is returned. An origin that has its
// share gets ErrShare also where the store is full, so that it never waits for others.
func (b Bounds) Room(size int64, all Use, own func() (Use, error)) error {
	v, err := b.shared().Room(size, share.Use{Count: all.Letters, Bytes: all.Bytes}, func() (share.Use, error) {
		of, err := own()
		return share.Use{Count: of.Letters, Bytes: of.Bytes}, err
	})
	if err != nil {
		return err
	}
	return refused(v)
}

func (b Bounds) shared() share.Bounds {
	return share.Bounds{Count: b.Letters, Bytes: b.Bytes, Share: b.Share}
}

// refused is the error of a letter that has no room.
func refused(v share.Verdict) error {
	switch v.Limit {
	case share.Whole:
		return fmt.Errorf("%w: it has %d bytes, and all letters may have %d", ErrUnfit, v.Has, v.May)
	case share.Part:
		err := fmt.Errorf("%w: it has %d bytes, and one origin may have %d while the store is more than half full", ErrUnfit, v.Has, v.May)
		if v.Has <= smallest {
			err = fmt.Errorf("%w: %w", ErrShare, err)
		}
		return err
	case share.PartCount:
		return fmt.Errorf("%w: it has %d letters, and may have %d while the store is more than half full", ErrShare, v.Has, v.May)
	case share.PartBytes:
		return fmt.Errorf("%w: it has %d bytes, and may have %d while the store is more than half full: %w", ErrShare, v.Has, v.May, ErrUnfit)
	case share.WholeCount:
		return fmt.Errorf("%w: it has %d letters, and may have %d", ErrFull, v.Has, v.May)
	case share.WholeBytes:
		return fmt.Errorf("%w: it has %d bytes, and may have %d", ErrFull, v.Has, v.May)
	}
	return nil
}

// Usage follows how much a store of one process holds, of all origins together and
// of each. It takes the same memory whatever there is: 64 KiB with the default share,
// and 4 MiB at most, from a share of 512 on. An origin is told to have what it has, or
// in a store of many letters a little more, a thousandth of all at most in practice.
// Made by [NewUsage]; safe for concurrent use.
type Usage struct{ u *share.Usage }

// NewUsage returns the usage of an empty store.
func NewUsage(b Bounds) *Usage { return &Usage{share.NewUsage(b.shared())} }

// Take takes room for a letter, or returns [ErrShare] or [ErrFull].
func (u *Usage) Take(origin string, size int64) error { return refused(u.u.Take(origin, size)) }

// Add notes letters that are there whatever the bounds are, or with numbers below 0
// that they are gone.
func (u *Usage) Add(origin string, letters int, bytes int64) { u.u.Add(origin, letters, bytes) }

// All returns what all letters take.
func (u *Usage) All() Use {
	all := u.u.All()
	return Use{Letters: all.Count, Bytes: all.Bytes}
}

// Of returns what the letters of an origin take, or a little more.
func (u *Usage) Of(origin string) Use {
	of := u.u.Of(origin)
	return Use{Letters: of.Count, Bytes: of.Bytes}
}
