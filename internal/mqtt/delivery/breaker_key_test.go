package delivery

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A dependency that is down for one key only, with a backlog, does not stop the others while they
// arrive more often than that key fails. Seldom ones wait for a trial, at most for two pauses.
func TestBreakerAndOneBadKey(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name         string
		every, delay time.Duration
	}{{"busy", 50 * time.Millisecond, 0}, {"quiet", 2 * time.Second, 10 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 8, nil)
				bad := r.sched.Key("bad")
				var delay time.Duration // of good ones
				for i := range 300 {
					m := fmt.Sprintf("bad%d", i)
					r.set(func() { r.bad[m] = errBoom })
					r.sched.Submit(Item{Task: r.attempts.Deliver(m, &r.done.Entry), Lane: r.lane, Key: bad, Must: true})
				}
				for i := range 100 {
					before, began := r.count(&r.handled), time.Now()
					r.send(fmt.Sprintf("good%d", i))
					for r.count(&r.handled) == before {
						wait(10 * time.Millisecond)
					}
					delay = max(delay, time.Since(began))
					wait(tt.every)
				}
				if delay > tt.delay || r.count(&r.letters) == 0 {
					t.Errorf("others waited %v, want at most %v; %d letters of the bad key", delay, tt.delay, r.count(&r.letters))
				}
				r.set(func() { clear(r.bad) })
				wait(20 * time.Second)
				drain(t, r.sched)
			})
		})
	}
}
