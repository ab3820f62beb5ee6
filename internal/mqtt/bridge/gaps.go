package bridge

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

const (
	maxSource     = 256  // bytes
	maxTopic      = 1024 // bytes
	maxReports    = 1000 // that wait to be told
	gapLines      = 10   // of the log, in each
	gapSenders    = 50   // that have a line in each, by their topics
	gapLevels     = 2    // of a topic that say whose it is
	gapLinePeriod = 10 * time.Second
)

// gaps notices which messages of a sequence are missing. Numbers come from
// whoever may publish: everything here is bounded, and nothing depends on it
// but a report.
type gaps struct {
	missing   atomic.Int64
	jumps     atomic.Int64          // that cannot be
	forgotten atomic.Int64          // series
	tell      func([]event.GapInfo) // on a goroutine where that may take a while
	full      func(topic string)    // on the same, when a series of the topic is forgotten
	later     func(func())
	fullLine  client.PerMinute

	mu      sync.Mutex
	table   gapTable
	reports []event.GapInfo
	waiting map[string]struct{} // first levels of topics that have one
}

// arrived looks at a message with these user properties, or attributes.
func (g *gaps) arrived(topic string, list []client.UserProperty) {
	text, ok := last(list, attrSequence)
	if !ok {
		return
	}
	source, _ := last(list, attrCounter)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || source == "" || len(source) > maxSource || len(topic) > maxTopic {
		return // not ours
	}
	now := time.Now()
	tell, lost := g.note(source, topic, n, now)
	if tell {
		g.later(g.flush)
	}
	if lost != "" && g.fullLine.Due(now) {
		g.later(func() { g.full(lost) })
	}
}

// note reports whether somebody has to tell what is waiting to be told, and the topic
// of a series that there was no room for any more. What there is no room for is in the
// counts.
func (g *gaps) note(source, topic string, n uint64, now time.Time) (tell bool, lost string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s, lost := g.table.find(source, topic)
	if lost != "" {
		g.forgotten.Add(1)
	}
	info := event.GapInfo{Topic: topic, Source: source, Got: n, Expected: s.last + 1}
	info.Missing, info.Jump = s.take(n, now)
	switch {
	case info.Jump:
		g.jumps.Add(1)
	case info.Missing == 0:
		return false, lost
	}
	g.missing.Add(int64(info.Missing))
	return g.report(info), lost
}

// report adds what is to be told, and reports whether it is the first. Beyond the
// bound there is room for one of whoever has none.
func (g *gaps) report(info event.GapInfo) (first bool) {
	whose := topic.Guarded(info.Topic, gapLevels)
	_, has := g.waiting[whose]
	if len(g.reports) >= maxReports && (has || len(g.waiting) >= gapSenders) {
		return false
	}
	if !has && len(g.waiting) < gapSenders {
		if g.waiting == nil {
			g.waiting = make(map[string]struct{})
		}
		g.waiting[strings.Clone(whose)] = struct{}{}
	}
	g.reports = append(g.reports, info)
	return len(g.reports) == 1
}

func (g *gaps) flush() {
	g.mu.Lock()
	reports := g.reports
	g.reports, g.waiting = nil, nil
	g.mu.Unlock()
	g.tell(reports)
}

// forget ends all series: what arrives next tells nothing of what came before.
func (g *gaps) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table = gapTable{}
}

// gapLog keeps a flood of gaps from being a flood of lines, and one sender's from
// leaving no line for the others.
type gapLog struct {
	mu    sync.Mutex
	began time.Time
	lines int
	left  int                 // since the last line
	had   map[string]struct{} // first levels of topics that had a line
}

// may reports whether there is a line for the next one, and how many went without.
// Beyond the lines for all there is one more for each sender that had none.
func (l *gapLog) may(now time.Time, name string) (ok bool, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began) > gapLinePeriod {
		l.began, l.lines, l.had = now, 0, make(map[string]struct{})
	}
	whose := topic.Guarded(name, gapLevels)
	_, had := l.had[whose]
	if l.lines >= gapLines && (had || len(l.had) >= gapSenders) {
		l.left++
		return false, 0
	}
	if !had {
		l.had[strings.Clone(whose)] = struct{}{}
	}
	l.lines++
	left, l.left = l.left, 0
	return true, left
}
