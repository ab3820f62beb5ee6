package engine

import (
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
