package outbox

import (
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/share"
)

// Default limits of the quarantine of a store.
const (
	DefaultMaxQuarantined      = 10_000
	DefaultMaxQuarantinedBytes = 64 << 20
)

// QuarantineUsage tracks and limits what a [Store] of one process has quarantined, in total
// and per key. While less than half of the limits is used, a key ([Entry.Order]) may
// quarantine as much as it likes; then it is limited to an eighth of them. So no key can fill
// the quarantine alone. It takes 64 KiB of memory, however many entries there are; in a
// quarantine of many entries the use of a key may be reported slightly too high. Create it
// with [NewQuarantineUsage]. It is safe for concurrent use.
type QuarantineUsage struct{ usage *share.Usage }

// NewQuarantineUsage returns the usage of an empty quarantine with limits in entries and
// bytes; 0 means no limit.
func NewQuarantineUsage(entries int, bytes int64) *QuarantineUsage {
	return &QuarantineUsage{share.NewUsage(share.Bounds{Count: entries, Bytes: bytes})}
}

// Take reserves room for an entry of a key, or returns [ErrQuarantineShare] or
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

// Add adds entries of a key without checking the limits; negative numbers remove entries.
func (u *QuarantineUsage) Add(key string, entries int, bytes int64) {
	u.usage.Add(key, entries, bytes)
}

// Entries returns the number of entries of all keys.
func (u *QuarantineUsage) Entries() int { return u.usage.All().Count }
