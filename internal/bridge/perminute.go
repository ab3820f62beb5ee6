package bridge

import (
	"sync/atomic"
	"time"
)

// perMinute lets one of many lines of a log through each minute.
type perMinute struct{ last atomic.Int64 }

func (p *perMinute) due(now time.Time) bool {
	last, at := p.last.Load(), now.UnixNano()
	return (last == 0 || at-last >= int64(time.Minute)) && p.last.CompareAndSwap(last, at)
}
