package session

import (
	"context"
	"errors"
	"math"
	"time"
)

// A broker may not answer a SUBSCRIBE or UNSUBSCRIBE: it is half dead, or what it
// asks for permission hangs. A connection on which nothing was answered is given
// up. Where something else was, it stays, and the one filter is asked for again
// later, alone and behind all others.

var (
	errNoSuback   = errors.New("no SUBACK")
	errNoUnsuback = errors.New("no UNSUBACK")
)

// ignoredFor is the longest pause before a filter without an answer is asked for
// again on the same connection.
const ignoredFor = 5 * time.Minute

// timedOut reports whether the time for an answer is up, which ends nothing else.
func timedOut(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// why prefers that to how the library says it.
func why(ctx context.Context, err error) error {
	if timedOut(ctx) {
		return context.DeadlineExceeded
	}
	return err
}

// late notes that the broker did not answer within a time to these filters.
func (t *subscriptions) late(filters []*wanted, within time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range filters {
		if w.ignored < math.MaxUint8 {
			w.ignored++
		}
		pause := ignoredFor
		switch n := w.ignored; {
		case n == 1 && len(filters) > 1:
			pause = 0 // one packet may have had several: each by itself
		case n < 16:
			pause = min(pause, within<<n)
		}
		w.until = time.Now().Add(pause)
	}
}

// ignored notes that an UNSUBSCRIBE had no answer, and reports whether that was
// so before: then nothing comes of asking on yet another connection.
func (t *subscriptions) ignored(w *wanted) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.ignored = min(w.ignored, 1) + 1
	return w.ignored > 1
}

// later fires when the first of the filters without an answer is to be asked for
// again; nil is never.
func (t *subscriptions) later() <-chan time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	var first time.Time
	for _, w := range t.wanted {
		if !w.isSettled() && !w.until.IsZero() && (first.IsZero() || w.until.Before(first)) {
			first = w.until
		}
	}
	if first.IsZero() {
		return nil
	}
	return time.After(time.Until(first))
}
