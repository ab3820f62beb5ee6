package deadletter

import (
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/share"
)

// ErrShare is the error of a Put that would exceed the share of one origin, see [Bounds] and
// [Letter.Origin]. If it also wraps [ErrUnfit], the limit in bytes is exceeded, and a smaller
// form of the letter may fit. A later Put succeeds after letters of that origin were removed.
var ErrShare = errors.New("deadletter: the share of one origin is used up")

// Defaults of [Bounds].
const (
	DefaultMaxLetters = 100_000
	DefaultMaxBytes   = 1 << 30
	DefaultShare      = share.Default
)

// Bounds limits the letters of a store and of each origin in it. While the store is less than
// half full, an origin may store as much as it likes; then it is limited to 1/Share of each
// bound. So no origin can fill the store alone, and a service with one busy topic can use half
// of it.
type Bounds struct {
	// Letters and Bytes limit all letters together; 0 means no limit.
	Letters int
	Bytes   int64
	// Share is the number of origins that the store has room for at least: each may use
	// 1/Share of either bound once the store is half full. 0 means 8; 1 means no limit per
	// origin.
	Share int
}

// WithDefaults returns the bounds with zero fields replaced by the defaults.
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

// Use is a number of letters and their size in bytes.
type Use struct {
	Letters int
	Bytes   int64
}

// smallest is the maximum size of the smallest form of a letter, see [Letter.Smaller]. No
// smaller form can be requested in its place.
const smallest = 4 << 10

// Room returns nil if there is room for another letter of size bytes. Otherwise it returns
// [ErrShare], [ErrFull], or [ErrUnfit] if the letter is too large ever to fit. all is the use
// of all letters. own returns the use of the letters of the same origin; it is called only if
// needed, and its error is returned. An origin that has used up its share gets ErrShare even
// if the store is full, so that it never waits for other origins.
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

// refused converts a verdict to the error of Put.
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

// Usage tracks how much a store of one process contains, in total and per origin. Its memory
// is constant: 64 KiB with the default share, and at most 4 MiB, for a share of 512 or more.
// The use of an origin may be reported too high in a store of many letters, in practice by at
// most a thousandth of the total. Create it with [NewUsage]. It is safe for concurrent use.
type Usage struct{ u *share.Usage }

// NewUsage returns the usage of an empty store.
func NewUsage(b Bounds) *Usage { return &Usage{share.NewUsage(b.shared())} }

// Take reserves room for a letter, or returns [ErrShare], [ErrFull] or [ErrUnfit].
func (u *Usage) Take(origin string, size int64) error { return refused(u.u.Take(origin, size)) }

// Add adds letters without checking the bounds; negative numbers remove letters.
func (u *Usage) Add(origin string, letters int, bytes int64) { u.u.Add(origin, letters, bytes) }

// All returns the use of all letters.
func (u *Usage) All() Use {
	all := u.u.All()
	return Use{Letters: all.Count, Bytes: all.Bytes}
}

// Of returns the use of the letters of an origin. It may be slightly too high.
func (u *Usage) Of(origin string) Use {
	of := u.u.Of(origin)
	return Use{Letters: of.Count, Bytes: of.Bytes}
}
