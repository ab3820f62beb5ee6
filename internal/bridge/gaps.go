package bridge

import (
	"container/list"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

const (
	maxSeries     = 10_000  // that are remembered, the latest
	maxHoles      = 64      // of one of them
	maxGap        = 1 << 32 // more is no gap but nonsense
	maxSource     = 256     // bytes
	maxTopic      = 1024    // bytes
	maxReports    = 1000    // that wait to be told
	gapLines      = 10      // of the log, in each
	gapLinePeriod = 10 * time.Second
)

// gaps notices which messages of a sequence are missing. Numbers come from
// whoever may publish: everything here is bounded, and nothing depends on it
// but a report.
type gaps struct {
	missing atomic.Int64
	tell    func([]event.GapInfo) // on a goroutine where that may take a while
	later   func(func())

	mu      sync.Mutex
	series  map[seriesKey]*list.Element // of *series
	recent  list.List                   // the latest first
	reports []event.GapInfo
}

type seriesKey struct{ source, topic string }

// series is what arrived of one publisher on one topic.
type series struct {
	seriesKey
	last  uint64 // the highest
	holes []hole // below it, in order
}

// hole is a range of numbers that did not arrive.
type hole struct{ from, to uint64 }

// arrived looks at a message with these user properties, or attributes.
func (g *gaps) arrived(topic string, list []engine.UserProperty) {
	text, ok := last(list, attrSequence)
	if !ok {
		return
	}
	source, _ := last(list, attrCounter)
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || source == "" || len(source) > maxSource || len(topic) > maxTopic {
		return // not ours
	}
	if g.note(source, topic, n) {
		g.later(g.flush)
	}
}

// note reports whether somebody has to tell what is waiting to be told. What
// there is no room for is in the count.
func (g *gaps) note(source, topic string, n uint64) (tell bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.find(source, topic)
	info := event.GapInfo{Topic: topic, Source: source, Got: n, Expected: s.last + 1}
	if info.Missing = s.take(n); info.Missing == 0 {
		return false
	}
	g.missing.Add(int64(info.Missing))
	if len(g.reports) < maxReports {
		g.reports = append(g.reports, info)
	}
	return len(g.reports) == 1
}

func (g *gaps) flush() {
	g.mu.Lock()
	reports := g.reports
	g.reports = nil
	g.mu.Unlock()
	g.tell(reports)
}

// find returns the series, new or as it was.
func (g *gaps) find(source, topic string) *series {
	key := seriesKey{source, topic}
	if e := g.series[key]; e != nil {
		g.recent.MoveToFront(e)
		return e.Value.(*series) //nolint:forcetypeassert // nothing else is in there
	}
	if g.series == nil {
		g.series = make(map[seriesKey]*list.Element)
	}
	key.topic = strings.Clone(topic) // it is part of a message
	s := &series{seriesKey: key}
	g.series[key] = g.recent.PushFront(s)
	if g.recent.Len() > maxSeries {
		oldest := g.recent.Back()
		g.recent.Remove(oldest)
		delete(g.series, oldest.Value.(*series).seriesKey) //nolint:forcetypeassert // see above
	}
	return s
}

// take notes a number and returns how many more are missing since. The first that
// is seen tells nothing of those before: we may have come later.
func (s *series) take(n uint64) (missing int) {
	switch before := s.last; {
	case before == 0 || n == before+1:
		s.last = n
		return 0
	case n > before:
		s.last = n
		if n-before > maxGap {
			s.holes = nil
			return 0
		}
		if s.holes = append(s.holes, hole{before + 1, n - 1}); len(s.holes) > maxHoles {
			s.holes = slices.Delete(s.holes, 0, 1) // whoever is in there now stays missing
		}
		return int(min(n-before-1, math.MaxInt32))
	}
	return s.late(n)
}

// late takes a number out of the hole that it was missing in; others are
// duplicates.
func (s *series) late(n uint64) int {
	for i, h := range s.holes {
		if n < h.from || n > h.to {
			continue
		}
		var left []hole
		if h.from < n {
			left = append(left, hole{h.from, n - 1})
		}
		if n < h.to {
			left = append(left, hole{n + 1, h.to})
		}
		s.holes = slices.Replace(s.holes, i, i+1, left...)
		return -1
	}
	return 0
}

// forget ends all series: what arrives next tells nothing of what came before.
func (g *gaps) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.series = nil
	g.recent.Init()
}

// gapLog keeps a flood of gaps from being a flood of lines.
type gapLog struct {
	mu    sync.Mutex
	began time.Time
	lines int
	left  int // since the last line
}

// may reports whether there is a line for the next one, and how many went without.
func (l *gapLog) may(now time.Time) (ok bool, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.began) > gapLinePeriod {
		l.began, l.lines = now, 0
	}
	if l.lines >= gapLines {
		l.left++
		return false, 0
	}
	l.lines++
	left, l.left = l.left, 0
	return true, left
}
