package logsafe

import (
	"fmt"
	"testing"
	"time"
)

// Only some of many lines are written each minute, and the next line states how
// many were suppressed.
func TestFew(t *testing.T) {
	t.Parallel()
	var f Few
	now, written := time.Unix(1_700_000_000, 0), 0
	for range 500 {
		if skipped, due := f.Due(now, ""); due {
			if written++; skipped != 0 {
				t.Errorf("%d left out in the first minute", skipped)
			}
		}
	}
	if written != fewLines {
		t.Errorf("%d lines, want %d", written, fewLines)
	}
	if skipped, due := f.Due(now.Add(time.Minute), ""); !due || skipped != 470 {
		t.Errorf("a minute later: %v, %d", due, skipped)
	}
	if skipped, due := f.Due(now.Add(time.Minute), ""); !due || skipped != 0 {
		t.Errorf("and behind that: %v, %d", due, skipped)
	}
}

// A sender that causes many lines does not suppress those about others, and
// many senders do not flood the log.
func TestFewOfOthers(t *testing.T) {
	t.Parallel()
	var f Few
	now := time.Unix(1_700_000_000, 0)
	lines := func(sender func(i int) string, n int) (written int) {
		for i := range n {
			if _, due := f.Due(now, sender(i)); due {
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
	if len(f.had) != fewLines {
		t.Errorf("%d senders are remembered", len(f.had))
	}
}
