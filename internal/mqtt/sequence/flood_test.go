package sequence

import (
	"fmt"
	"testing"
	"time"
)

// A flood of gaps of one sender, which makes up numbers, leaves a line of the log for
// those of others.
func TestGapLogOfOthers(t *testing.T) {
	t.Parallel()
	g := watching()
	now, lines := time.Now(), 0
	for i := range 10_000 {
		if _, ok := g.due(now, fmt.Sprintf("devices/A/%d/data", i)); ok {
			lines++
		}
	}
	if lines != gapLines {
		t.Errorf("%d lines of one sender, want %d", lines, gapLines)
	}
	for i := range 2 {
		if left, ok := g.due(now, "devices/B/data"); ok != (i == 0) || ok && left != 10_000-gapLines {
			t.Errorf("%d. gap of another one: %t, %d left out", i+1, ok, left)
		}
	}
	lines = 0
	for i := range 10_000 {
		if _, ok := g.due(now, fmt.Sprint("devices/", i)); ok {
			lines++
		}
	}
	if lines != maxSenders-2 {
		t.Errorf("%d lines of other senders", lines)
	}
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
