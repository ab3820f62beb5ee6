package logsafe

import (
	"cmp"
	"fmt"
	"strings"
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

// Few lets some lines of a log through in each period, and counts the others:
// whoever can cause lines can cause many. Beyond the lines for all, each sender that
// had none has one more, so that a sender of many takes no line of others. The zero
// value is ready; it is safe for concurrent use.
type Few struct {
	// Period is the time that the bounds are for; 0 is a minute.
	Period time.Duration
	// Lines are for all, Senders are those that have one more; 0 is 30 each.
	Lines, Senders int

	mu      sync.Mutex
	since   time.Time // the period began
	said    int
	skipped int                 // since the last line
	had     map[string]struct{} // senders that had a line
}

const fewLines = 30

// Due reports whether a line about a sender may be written now, and how many were left
// out since the last one; "" is of nobody, which has no line beyond those for all.
func (f *Few) Due(now time.Time, sender string) (skipped int, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() || now.Sub(f.since) >= cmp.Or(f.Period, time.Minute) {
		f.since, f.said, f.had = now, 0, make(map[string]struct{})
	}
	_, had := f.had[sender]
	first := sender != "" && !had && len(f.had) < cmp.Or(f.Senders, fewLines)
	if f.said >= cmp.Or(f.Lines, fewLines) && !first {
		f.skipped++
		return 0, false
	}
	if first {
		f.had[strings.Clone(sender)] = struct{}{} // it is part of a message
	}
	f.said++
	skipped, f.skipped = f.skipped, 0
	return skipped, true
}

// Say calls line if a line about a sender may be written now. others is a text for it
// that says how many were left out since the last one; "" is none.
func (f *Few) Say(sender string, line func(others string)) {
	skipped, due := f.Due(time.Now(), sender)
	switch {
	case !due:
	case skipped > 0:
		line(fmt.Sprintf(" (and %d more, left out of the log)", skipped))
	default:
		line("")
	}
}
