package session

import (
	"context"
	"errors"
	"math"
	"time"
)

// A broker may not answer a SUBSCRIBE or UNSUBSCRIBE because it is half dead or
// its authorization service hangs. A connection on which nothing was answered
// is given up. If something else was answered the connection stays, and the one
// filter is requested again later, alone and after all others.

var (
	errNoSuback   = errors.New("no SUBACK")
	errNoUnsuback = errors.New("no UNSUBACK")
)

// ignoredFor is the longest pause before an unanswered filter is requested
// again on the same connection.
const ignoredFor = 5 * time.Minute

// timedOut reports whether the time for an answer has ended, and not the
// connection or the session.
func timedOut(ctx context.Context) bool {
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// why returns the cause of ctx if there is one, or else the library's error.
func why(ctx context.Context, err error) error {
	if timedOut(ctx) {
		return context.DeadlineExceeded
	}
	return err
}

// late records that the broker did not answer the request for these filters in
// time.
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
			pause = 0 // one packet may have had several filters: next, each has its own
		case n < 16:
			pause = min(pause, within<<n)
		}
		w.until = time.Now().Add(pause)
	}
}

// ignored records that an UNSUBSCRIBE was not answered and reports whether this
// happened before. Another connection would then not help.
func (t *subscriptions) ignored(w *wanted) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.ignored = min(w.ignored, 1) + 1
	return w.ignored > 1
}

// later returns a channel that fires when the first unanswered filter is to be
// requested again, or nil if there is none.
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
