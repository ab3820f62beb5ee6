package delivery

import "time"

// Retune changes when the breaker opens, and for how long; Changed stays as it is. A pause
// that has begun ends as planned. With 0 failures an open breaker closes at once.
func (b *Breaker) Retune(o BreakerOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	b.mu.Lock()
	b.opts.Failures, b.opts.Window, b.opts.Pause = o.Failures, o.Window, o.Pause
	off := o.Failures == 0 && (b.status.Phase != Closed || len(b.recent) > 0)
	if off {
		b.close()
	}
	b.mu.Unlock()
	if off {
		b.offer()
	}
	return nil
}

// close ends what the breaker found. What was paused by hand stays paused.
func (b *Breaker) close() {
	opened := b.status.Phase != Closed
	b.stopTimer()
	b.recent, b.trouble = nil, 0
	b.status.Phase, b.status.NextTrial, b.status.Err = Closed, time.Time{}, nil
	if !b.status.Paused {
		b.status.Since = time.Time{}
		b.most.Store(unlimited)
		b.watched.Store(false)
	}
	if opened {
		b.changed()
	}
}
