package session

import (
	"context"
	"time"
)

// limit is the default timeout of a publish whose context has no deadline.
// Its timer starts when something first has to wait, and can be used again.
type limit struct {
	after   time.Duration
	timer   *time.Timer
	running bool
}

// reached gives the channel that ends the wait; nil when ctx does that.
func (l *limit) reached(ctx context.Context) <-chan time.Time {
	if !l.running {
		if _, ok := ctx.Deadline(); ok || l.after <= 0 {
			return nil
		}
		l.running = true
		if l.timer == nil {
			l.timer = time.NewTimer(l.after)
		} else {
			l.timer.Reset(l.after)
		}
	}
	return l.timer.C
}

func (l *limit) stop() {
	if l.running {
		l.running = false
		l.timer.Stop()
	}
}
