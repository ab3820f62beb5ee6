package logsafe

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// period is how long the limits of a kind of lines last.
	period = time.Minute
	// fewLines is the limit of a kind in a period, and the number of senders that may have
	// one line more.
	fewLines = 30
)

// Limiter limits log lines that remote clients, or a store that fails, can cause in any
// number. It counts the suppressed ones of each kind: the next line has their number, and
// if there is none until the end of the period, Closed receives it. The zero value is ready
// to use; nil limits nothing. It is safe for concurrent use.
type Limiter struct {
	// Closed writes a line about suppressed ones, from any goroutine. It is set before the
	// first use; nil writes none.
	Closed func(kind string, suppressed int)

	mu    sync.Mutex
	kinds map[string]*kind
}

// kind has the state of one kind of lines in the current period.
type kind struct {
	since      time.Time
	said       int
	senders    map[string]struct{} // that had a line
	suppressed int                 // since the last line
	timer      *time.Timer         // ends the period, if lines were suppressed
}

// Few calls line if a line of a kind about sender may be written: 30 a minute, and one more
// for each of 30 senders without a line, so that one noisy sender does not suppress the
// lines about others. A sender "" has no line of its own. line appends more to its fields. It
// is called at once or never, because what it refers to may share the memory of a message.
func (l *Limiter) Few(name, sender string, line func(more []any)) {
	l.write(name, sender, fewLines, line)
}

// Seldom is Few with one line a minute.
func (l *Limiter) Seldom(name string, line func(more []any)) { l.write(name, "", 1, line) }

func (l *Limiter) write(name, sender string, most int, line func(more []any)) {
	if l == nil {
		line(nil)
		return
	}
	if more, due := l.due(name, sender, most); due {
		line(more)
	}
}

// due reports whether the line may be written now. Otherwise it is counted.
func (l *Limiter) due(name, sender string, most int) (more []any, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k, now := l.kinds[name], time.Now()
	if k == nil {
		if k = new(kind); l.kinds == nil {
			l.kinds = make(map[string]*kind)
		}
		l.kinds[name] = k
	}
	if k.since.IsZero() || now.Sub(k.since) >= period {
		k.since, k.said, k.senders = now, 0, make(map[string]struct{})
	}
	_, had := k.senders[sender]
	first := sender != "" && !had && len(k.senders) < fewLines
	if k.said >= most && !first {
		if k.suppressed++; k.suppressed == 1 {
			k.timer = time.AfterFunc(period-now.Sub(k.since), func() { l.end(name, k) })
		}
		return nil, false
	}
	if first {
		k.senders[strings.Clone(sender)] = struct{}{} // sender may share the memory of a message
	}
	k.said++
	if n := k.take(); n > 0 {
		more = []any{KeySuppressed, n}
	}
	return more, true
}

// take returns the number of suppressed lines, and forgets them.
func (k *kind) take() (suppressed int) {
	if suppressed = k.suppressed; suppressed > 0 {
		k.timer.Stop()
		k.suppressed, k.timer = 0, nil
	}
	return suppressed
}

// end closes the suppressed lines of a kind.
func (l *Limiter) end(name string, k *kind) {
	l.mu.Lock()
	n := k.take()
	l.mu.Unlock()
	if n > 0 && l.Closed != nil {
		l.Closed(name, n)
	}
}

// Flush closes the suppressed lines of all kinds now, at the end of a client.
func (l *Limiter) Flush() {
	if l == nil {
		return
	}
	l.mu.Lock()
	all := maps.Clone(l.kinds)
	l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		l.end(name, all[name])
	}
}
