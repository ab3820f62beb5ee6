package logsafe

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// PerMinute limits a log message to one line per minute. The zero value is
// ready to use. It is safe for concurrent use.
type PerMinute struct{ last atomic.Pointer[time.Time] }

// Due reports whether a line may be written now; if so it counts as written.
func (p *PerMinute) Due(now time.Time) bool {
	last := p.last.Load()
	return (last == nil || now.Sub(*last) >= time.Minute) && p.last.CompareAndSwap(last, &now)
}

// Few limits the number of log lines per period and counts the suppressed ones,
// because remote clients can cause many lines. In addition to the shared limit,
// each sender without a line in the period may have one, so that one noisy
// sender does not suppress the lines about others. The zero value is ready to
// use. It is safe for concurrent use.
type Few struct {
	// Period is the length of a period; 0 means a minute.
	Period time.Duration
	// Lines is the shared limit and Senders the number of senders that may have
	// one more line; 0 means 30 each.
	Lines, Senders int

	mu      sync.Mutex
	since   time.Time // start of the period
	said    int
	skipped int                 // lines suppressed since the last one
	had     map[string]struct{} // senders that had a line in this period
}

const fewLines = 30

// Due reports whether a line about sender may be written now, and how many
// lines were suppressed since the last one. A line with sender "" has only the
// shared limit.
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
		f.had[strings.Clone(sender)] = struct{}{} // sender may share the memory of a message
	}
	f.said++
	skipped, f.skipped = f.skipped, 0
	return skipped, true
}

// Say calls line if a line about sender may be written now. others is a text to
// append that states how many lines were suppressed since the last one, or "".
func (f *Few) Say(sender string, line func(others string)) {
	skipped, due := f.Due(time.Now(), sender)
	switch {
	case !due:
	case skipped > 0:
		line(fmt.Sprintf(" (and %d more suppressed)", skipped))
	default:
		line("")
	}
}
