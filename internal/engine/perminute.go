package engine

import (
	"sync/atomic"
	"time"
)

// PerMinute lets one of many lines of a log through each minute. The zero value
// is ready; it is safe for concurrent use.
type PerMinute struct{ last atomic.Int64 }

// Due reports whether a line may be written now, and then it counts as written.
func (p *PerMinute) Due(now time.Time) bool {
	last, at := p.last.Load(), now.UnixNano()
	return (last == 0 || at-last >= int64(time.Minute)) && p.last.CompareAndSwap(last, at)
}
