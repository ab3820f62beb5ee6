package outbox

import (
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/share"
)

// Bounds of the quarantine of a store, unless it is told otherwise.
const (
	DefaultMaxQuarantined      = 10_000
	DefaultMaxQuarantinedBytes = 64 << 20
)

// QuarantineUsage follows what a [Store] of one process has quarantined, of all keys
// together and of each, and bounds it: while less than half of the bounds is used up, a
// key ([Entry.Order]) may have all that is quarantined of it, and from then on an
// eighth of them. So no key fills the quarantine alone. It takes 64 KiB whatever there is; in a
// quarantine of many entries a key may be told to have a little more than it has. Made
// by [NewQuarantineUsage]; safe for concurrent use.
type QuarantineUsage struct{ usage *share.Usage }

// NewQuarantineUsage returns the usage of an empty quarantine that may have so many
// entries and bytes; 0 is no bound.
func NewQuarantineUsage(entries int, bytes int64) *QuarantineUsage {
	return &QuarantineUsage{share.NewUsage(share.Bounds{Count: entries, Bytes: bytes})}
}

// Take takes room for an entry of a key, or returns [ErrQuarantineShare] or
// [ErrQuarantineFull].
func (u *QuarantineUsage) Take(key string, size int64) error {
	const part = "%w: it has %d %s, and may have %d while more than half of the quarantine is used up"
	const whole = "%w: it has %d %s, and may have %d"
	switch v := u.usage.Take(key, size); v.Limit {
	case share.PartCount:
		return fmt.Errorf(part, ErrQuarantineShare, v.Has, "entries", v.May)
	case share.PartBytes:
		return fmt.Errorf(part, ErrQuarantineShare, v.Has, "bytes", v.May)
	case share.Part:
		return fmt.Errorf("%w: the entry has %d bytes, and its key may have %d while more than half of the quarantine is used up",
			ErrQuarantineShare, v.Has, v.May)
	case share.WholeCount:
		return fmt.Errorf(whole, ErrQuarantineFull, v.Has, "entries", v.May)
	case share.WholeBytes:
		return fmt.Errorf(whole, ErrQuarantineFull, v.Has, "bytes", v.May)
	case share.Whole:
		return fmt.Errorf("%w for this entry: it has %d bytes, and all may have %d", ErrQuarantineFull, v.Has, v.May)
	}
	return nil
}

// Add notes entries of a key that are there whatever the bounds are, or with numbers
// below 0 that they are gone.
func (u *QuarantineUsage) Add(key string, entries int, bytes int64) {
	u.usage.Add(key, entries, bytes)
}

// Entries returns how many entries of all keys there are.
func (u *QuarantineUsage) Entries() int { return u.usage.All().Count }
