package sequence

import (
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// A flood of gaps of one sender, which makes up numbers, leaves lines of the log for those
// of others.
func TestGapLogOfOthers(t *testing.T) {
	t.Parallel()
	written := 0
	log := logsafe.Log{Logger: lines(func(string) { written++ }), Limiter: new(logsafe.Limiter)}
	g := NewGaps(Reports{Later: func(f func()) { f() }, Log: func() logsafe.Log { return log }})
	of := func(topic string) (n int) {
		before := written
		g.reportGap(event.GapInfo{Topic: topic, Missing: 1})
		return written - before
	}
	n := 0
	for i := range 10_000 {
		n += of(fmt.Sprintf("devices/A/%d/data", i))
	}
	if n == 0 || n > 50 {
		t.Errorf("%d lines of one sender", n)
	}
	if first, second := of("devices/B/data"), of("devices/B/data"); first != 1 || second != 0 {
		t.Errorf("%d and %d lines of another one", first, second)
	}
	log.Flush()
}

// Reports of gaps that wait to be told are bounded, and those of one sender leave room
// for those of others.
func TestGapReportsOfOthers(t *testing.T) {
	t.Parallel()
	g, now := watching(), time.Now()
	waiting := func(topic string, from uint64, n int) {
		for i := range n {
			g.note("s", topic, from+2*uint64(i), now)
		}
	}
	waiting("devices/A/data", 1, 3*maxReports)
	waiting("devices/B/data", 1, 3)
	for i := range 3 * maxSenders {
		waiting(fmt.Sprintf("devices/%d/data", i), 1, 2)
	}
	n := 0
	for _, r := range g.reports {
		if r.Topic == "devices/B/data" {
			n++
		}
	}
	if n != 1 || len(g.reports) != maxReports+maxSenders-1 {
		t.Errorf("%d reports of another one, %d in all", n, len(g.reports))
	}
	g.flush()
	waiting("devices/A/data", 10_001, 1)
	if len(g.reports) != 1 || len(g.waiting) != 1 {
		t.Errorf("%d reports after a flush", len(g.reports))
	}
}
