package broker

import "time"

// repeat calls a function periodically, with the core's mutex held.
type repeat struct {
	timer *time.Timer // nil while stopped; guarded by the core's mutex
}

// start calls f at an interval, or never if it is 0.
func (r *repeat) start(every time.Duration, locked func(func()), f func()) {
	if every <= 0 {
		return
	}
	var t *time.Timer
	t = time.AfterFunc(every, func() {
		locked(func() {
			if r.timer == t {
				f()
				r.start(every, locked, f)
			}
		})
	})
	r.timer = t
}

func (r *repeat) stop() { stopTimer(&r.timer) }

func stopTimer(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}
