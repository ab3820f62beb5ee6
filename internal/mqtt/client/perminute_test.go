package client

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Of many lines some are written each minute, and the next one says how many were
// not.
func TestFewPerMinute(t *testing.T) {
	t.Parallel()
	var f fewPerMinute
	now, written := time.Unix(1_700_000_000, 0), 0
	for range 500 {
		if others, due := f.due(now); due {
			if written++; others != "" {
				t.Errorf("%q in the first minute", others)
			}
		}
	}
	if written != fewLines {
		t.Errorf("%d lines, want %d", written, fewLines)
	}
	if others, due := f.due(now.Add(time.Minute)); !due || !strings.Contains(others, "470 more") {
		t.Errorf("a minute later: %v, %q", due, others)
	}
	if others, due := f.due(now.Add(time.Minute)); !due || others != "" {
		t.Errorf("and behind that: %v, %q", due, others)
	}
}

// Who causes many lines takes none of others, and many others cause no flood.
func TestFewPerMinuteOfOthers(t *testing.T) {
	t.Parallel()
	var f fewPerMinute
	now := time.Unix(1_700_000_000, 0)
	lines := func(origin func(i int) string, n int) (written int) {
		for i := range n {
			if _, due := f.dueFor(now, origin(i)); due {
				written++
			}
		}
		return written
	}
	rogue := lines(func(int) string { return "devices/A" }, 500)
	other := lines(func(int) string { return "devices/B" }, 500)
	many := lines(func(i int) string { return fmt.Sprint("devices/", i) }, 500)
	if rogue != fewLines || other != 1 || many != fewLines-2 {
		t.Errorf("%d lines of one, then %d of another one and %d of many, want %d, 1 and %d", rogue, other, many, fewLines, fewLines-2)
	}
}
