package session

import (
	"context"
	"sync"
	"time"
)

// limit is the default timeout of a publish whose context has no deadline. Its
// timer starts with the first wait.
type limit struct {
	after  time.Duration
	timer  *time.Timer
	timers *sync.Pool // of stopped timers
}

// reached returns the channel that ends the wait, or nil if ctx ends it.
func (l *limit) reached(ctx context.Context) <-chan time.Time {
	if l.timer == nil {
		if _, ok := ctx.Deadline(); ok || l.after <= 0 {
			return nil
		}
		if t, ok := l.timers.Get().(*time.Timer); ok {
			t.Reset(l.after) // the channel of a stopped timer is empty
			l.timer = t
		} else {
			l.timer = time.NewTimer(l.after)
		}
	}
	return l.timer.C
}

func (l *limit) stop() {
	if l.timer != nil {
		l.timer.Stop()
		l.timers.Put(l.timer)
	}
}
