package logsafe

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lines collects how many lines were written and the numbers of suppressed ones.
type lines struct {
	mu         sync.Mutex // two periods may end at once
	written    int
	suppressed []int
}

func (l *lines) line(more []any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written++
	if len(more) == 2 && more[0] == KeySuppressed {
		l.suppressed = append(l.suppressed, more[1].(int))
	}
}

// seen returns what was written so far.
func (l *lines) seen() (written int, suppressed []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written, slices.Clone(l.suppressed)
}

// closed is a line about suppressed ones.
func (l *lines) closed(_ string, suppressed int) { l.line([]any{KeySuppressed, suppressed}) }

// Only some of many lines are written each minute. The next line has the number of
// suppressed ones, and without a next line one of them closes the minute.
func TestFew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got lines
		l := Limiter{Closed: got.closed}
		for range 500 {
			l.Few("kind", "", got.line)
		}
		if written, suppressed := got.seen(); written != fewLines || suppressed != nil {
			t.Errorf("%d %v, want %d lines", written, suppressed, fewLines)
		}
		for range 3 {
			l.Seldom("another kind", got.line)
		}
		if written, _ := got.seen(); written != fewLines+1 {
			t.Errorf("%d lines, want one of another kind", written)
		}
		time.Sleep(period) //nolint:forbidigo // in a bubble
		synctest.Wait()
		if written, suppressed := got.seen(); written != fewLines+3 || suppressed[0]+suppressed[1] != 470+2 {
			t.Errorf("a minute later: %d %v", written, suppressed)
		}
		l.Few("kind", "", got.line)
		time.Sleep(2 * period) //nolint:forbidigo // in a bubble
		synctest.Wait()
		if written, suppressed := got.seen(); written != fewLines+4 || len(suppressed) != 2 {
			t.Errorf("and behind that: %d %v", written, suppressed)
		}
	})
}

// A flush closes what is open, once.
func TestFlush(t *testing.T) {
	t.Parallel()
	var got lines
	l := Limiter{Closed: got.closed}
	for range 5 {
		l.Seldom("kind", got.line)
	}
	l.Flush()
	l.Flush()
	if got.written != 2 || len(got.suppressed) != 1 || got.suppressed[0] != 4 {
		t.Errorf("%d %v", got.written, got.suppressed)
	}
	(*Limiter)(nil).Flush()
	(*Limiter)(nil).Seldom("kind", got.line)
	if got.written != 3 {
		t.Errorf("%d lines: nil limits nothing", got.written)
	}
}

// A sender that causes many lines does not suppress those about others, and many senders do
// not flood the log.
func TestFewOfOthers(t *testing.T) {
	t.Parallel()
	var l Limiter
	count := func(sender func(i int) string, n int) int {
		var got lines
		for i := range n {
			l.Few("kind", sender(i), got.line)
		}
		return got.written
	}
	rogue := count(func(int) string { return "devices/A" }, 500)
	other := count(func(int) string { return "devices/B" }, 500)
	many := count(func(i int) string { return fmt.Sprint("devices/", i) }, 500)
	if rogue != fewLines || other != 1 || many != fewLines-2 {
		t.Errorf("%d lines of one, then %d of another one and %d of many, want %d, 1 and %d", rogue, other, many, fewLines, fewLines-2)
	}
	if n := len(l.kinds["kind"].senders); n != fewLines {
		t.Errorf("%d senders are remembered", n)
	}
	l.Flush()
}
