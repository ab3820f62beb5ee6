package client

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
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
	had     map[string]struct{} // those whose messages had a line
}

// fewLines are let through each minute, and for so many whose messages had none
// one more: a sender of many takes no line of others.
const fewLines = 30

// say calls line if a line may be written now. others is a text for it that says how
// many were left out since the one before; "" is none.
func (f *fewPerMinute) say(line func(others string)) {
	if others, due := f.due(time.Now()); due {
		line(others)
	}
}

// sayOf is say for a line about a message.
func (f *fewPerMinute) sayOf(d *Delivery, line func(others string)) {
	if others, due := f.dueFor(time.Now(), originOf(d)); due {
		line(others)
	}
}

// originOf is whose message it is, by what access rules guard of its topic.
func originOf(d *Delivery) string {
	var l deadletter.Letter
	l.Topic, l.Filter = d.Topic, d.Filter()
	return l.Origin()
}

func (f *fewPerMinute) due(now time.Time) (others string, due bool) { return f.dueFor(now, "") }

// dueFor is due for a line about a message of this origin; "" is of nobody.
func (f *fewPerMinute) dueFor(now time.Time, origin string) (others string, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.since.IsZero() || now.Sub(f.since) >= time.Minute {
		f.since, f.said, f.had = now, 0, make(map[string]struct{})
	}
	_, had := f.had[origin]
	first := origin != "" && !had && len(f.had) < fewLines
	if f.said >= fewLines && !first {
		f.skipped++
		return "", false
	}
	if first {
		f.had[strings.Clone(origin)] = struct{}{}
	}
	if f.said++; f.skipped > 0 {
		others = fmt.Sprintf(" (and %d more, left out of the log)", f.skipped)
		f.skipped = 0
	}
	return others, true
}
