package sequence

import (
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

const (
	maxSource    = 256  // bytes
	maxTopic     = 1024 // bytes
	maxReports   = 1000 // that wait to be told
	senderLevels = 2    // of a topic that say whose it is
	maxSenders   = 50   // that have a report of their own
)

// Reports is what becomes of what [Gaps] find. Nil of Gap tells nobody.
type Reports struct {
	// Later calls a function soon, on a goroutine where that may take a while, and
	// one after the other.
	Later func(func())
	// Gap is called with each gap, on that goroutine.
	Gap func(event.GapInfo)
	// Log returns what lines are written to, on the same goroutine.
	Log func() logsafe.Log
}

// Gaps notices which messages of a sequence are missing. Any publisher can choose the
// numbers, so everything is bounded, and the numbers affect only reports. It is safe for
// concurrent use.
type Gaps struct {
	missing   atomic.Int64
	jumps     atomic.Int64
	forgotten atomic.Int64
	to        Reports
	sayFull   atomic.Bool // a line about a forgotten series is queued

	mu      sync.Mutex
	table   table
	reports []event.GapInfo
	waiting map[string]struct{} // senders that have one
}

// NewGaps returns gaps that have seen nothing yet.
func NewGaps(t Reports) *Gaps {
	return &Gaps{to: t}
}

// Missing returns how many messages are missing by now.
func (g *Gaps) Missing() int64 { return g.missing.Load() }

// Jumps returns how many numbers arrived that cannot be.
func (g *Gaps) Jumps() int64 { return g.jumps.Load() }

// Forgotten returns how many sequences there was no room for any more.
func (g *Gaps) Forgotten() int64 { return g.forgotten.Load() }

// Arrived checks a received message with this [Number] and [Source]. Numbers in another
// format are ignored. It does not block.
func (g *Gaps) Arrived(topic, number, source string) {
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || n == 0 || source == "" || len(source) > maxSource || len(topic) > maxTopic {
		return
	}
	now := time.Now()
	tell, lost := g.note(source, topic, n, now)
	if tell {
		g.to.Later(g.flush)
	}
	if lost != "" && g.sayFull.CompareAndSwap(false, true) {
		g.to.Later(func() { g.full(lost) })
	}
}

// note reports whether somebody has to tell what is waiting to be told, and the topic
// of a series that there was no room for any more. What there is no room for is in the
// counts.
func (g *Gaps) note(source, topic string, n uint64, now time.Time) (tell bool, lost string) {
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

// report queues a gap for the report, and reports whether it is the first. When the queue
// is full, a sender without an entry still gets one.
func (g *Gaps) report(info event.GapInfo) (first bool) {
	whose := topic.Guarded(info.Topic, senderLevels)
	_, has := g.waiting[whose]
	if len(g.reports) >= maxReports && (has || len(g.waiting) >= maxSenders) {
		return false
	}
	if !has && len(g.waiting) < maxSenders {
		if g.waiting == nil {
			g.waiting = make(map[string]struct{})
		}
		g.waiting[strings.Clone(whose)] = struct{}{}
	}
	g.reports = append(g.reports, info)
	return len(g.reports) == 1
}

func (g *Gaps) flush() {
	g.mu.Lock()
	reports := g.reports
	g.reports, g.waiting = nil, nil
	g.mu.Unlock()
	for _, info := range reports {
		g.reportGap(info)
	}
}

// Forget ends all series: what arrives next tells nothing of what came before.
func (g *Gaps) Forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.table = table{}
}
