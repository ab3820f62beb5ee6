package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/due"
)

// Default limits of the delayed entries of a store.
const (
	DefaultMaxDelayed      = 100_000
	DefaultMaxDelayedBytes = 128 << 20
)

// ErrDelayedFull is the error of an Append whose delayed entries would exceed their limits. It
// wraps [ErrFull]. No entry of that call was accepted.
var ErrDelayedFull = fmt.Errorf("%w of delayed entries", ErrFull)

// Delayer is an optional part of a [Store] that keeps an entry whose Due has not come apart from
// the waiting entries: it delays no other of its key, and has limits of its own. All stores of
// this module implement it. Its methods are safe for concurrent use, and return [ErrClosed]
// after Close.
//
// Due is a time of the wall clock, in milliseconds, rounded up. Time that passes while no
// process runs counts. A clock that is set forward makes entries due early, and one that is set
// back makes them due late, by that much.
type Delayer interface {
	// Release moves up to limit entries whose Due is not after now to the end of the waiting
	// entries, the earliest first; each gets a new Seq, and now as its Accepted. While the
	// waiting entries use more than half of a limit of the store it moves none: a delayed entry
	// is safe where it is, and new entries need the room. It returns how many it moved, and
	// when the first of the others is due, zero if there is none. A shared store returns
	// [ErrNotHolder] unless this process has the right to relay.
	Release(ctx context.Context, now time.Time, limit int) (moved int, next time.Time, err error)
	// Cancel deletes the delayed entries with these ids, and returns how many those were. Each
	// entry is either deleted, or moved by Release, and never both. An SQL store uses the
	// transaction in ctx if there is one.
	Cancel(ctx context.Context, ids ...string) (n int, err error)
	// Delayed returns up to limit delayed entries, in the order in which they are due, after
	// the given one or from the first. Their Seq is a number among the delayed entries. It
	// leaves out entries that cannot be decoded.
	Delayed(ctx context.Context, after *Entry, limit int) ([]*Entry, error)
	// DelayedChanged returns a channel of capacity 1 that receives a hint when an entry may
	// have been delayed since the last receive.
	DelayedChanged() <-chan struct{}
}

// IsDelayed reports whether the entry is not due yet at a time of the wall clock.
func (e *Entry) IsDelayed(now time.Time) bool {
	return !e.Due.IsZero() && due.Milli(e.Due) > now.UnixMilli()
}
