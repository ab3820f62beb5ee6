package engine

import (
	"fmt"
	"sync"
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

// fewPerMinute lets some lines of a log through each minute, and counts the others:
// who can cause lines can cause many. The zero value is ready; it is safe for
// concurrent use.
type fewPerMinute struct {
	mu      sync.Mutex
	since   time.Time // the minute began
	said    int
	skipped int
}

// fewLines are let through each minute.
const fewLines = 30

// say calls line if a line may be written now. others is a text for it that says how
// many were left out since the one before; "" is none.
func (f *fewPerMinute) say(line func(others string)) {
	others, due := f.due(time.Now())
	if due {
		line(others)
	}
}

func (f *fewPerMinute) due(now time.Time) (others string, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() || now.Sub(f.since) >= time.Minute {
		f.since, f.said = now, 0
	}
	if f.said == fewLines {
		f.skipped++
		return "", false
	}
	if f.said++; f.skipped > 0 {
		others = fmt.Sprintf(" (and %d more, left out of the log)", f.skipped)
		f.skipped = 0
	}
	return others, true
}
