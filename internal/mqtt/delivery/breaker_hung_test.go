package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// newHungRig is a rig whose next calls of the handler ignore their context, as many as hang has,
// until release is closed.
func newHungRig(t *testing.T) (r *rig, hang *int, release chan struct{}) {
	t.Helper()
	hang, release = new(int), make(chan struct{})
	r = newRig(t, 16, func(p *Policy[string]) { p.Deadline = 2 * time.Second })
	handler := r.attempts.handler
	r.attempts.handler = func(ctx context.Context, m string, attempt int) error {
		r.mu.Lock()
		hangs := *hang > 0
		if hangs {
			*hang--
		}
		r.mu.Unlock()
		if hangs {
			<-release
			return nil
		}
		return handler(ctx, m, attempt)
	}
	return r, hang, release
}

// Handlers that hang for ever, as on a lock, do not stop the others of their subscription when
// one of those fails once.
func TestBreakerClosedWhileHandlersHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, hang, release := newHungRig(t)
		r.set(func() { *hang = 4 })
		r.send("h1", "h2", "h3", "h4")
		r.set(func() { r.bad["bad"] = errBoom })
		r.send("bad")
		r.set(func() { delete(r.bad, "bad") })
		r.send(many(20)...)
		wait(10 * time.Second)
		if n := r.count(&r.handled); n != 21 {
			t.Errorf("%d of 21 were handled: %+v", n, r.breaker.Status())
		}
		close(release)
		drain(t, r.sched)
	})
}

// Handlers that hung when the breaker opened do not add to the attempts that it lets pass later.
func TestBreakerHalfOpenAfterHandlersHung(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, hang, release := newHungRig(t)
		r.set(func() { *hang = 3 })
		r.send("h1", "h2", "h3")
		r.set(func() { r.down = true })
		r.send(many(12)...)
		wait(12 * time.Second)
		close(release)
		before := r.count(&r.tried)
		if wait(50 * time.Second); r.breaker.Status().Phase != Open || r.count(&r.tried)-before > 10 {
			t.Errorf("%d attempts in 50s: %+v", r.count(&r.tried)-before, r.breaker.Status())
		}
		r.set(func() { r.down = false })
		wait(10 * time.Second)
		if n := r.count(&r.handled); n != 12 || r.count(&r.letters) > 0 {
			t.Errorf("%d of 12 were handled: %+v", n, r.breaker.Status())
		}
		drain(t, r.sched)
	})
}

// A trial that never returns does not keep the breaker half-open.
func TestBreakerTrialThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, hang, release := newHungRig(t)
		r.set(func() { r.down = true })
		r.send(many(12)...)
		wait(4 * time.Second)
		r.set(func() { r.down, *hang = false, 1 })
		wait(time.Minute)
		if n := r.count(&r.handled); n != 11 || r.breaker.Status().Phase != Closed {
			t.Errorf("%d of 11 others were handled: %+v", n, r.breaker.Status())
		}
		close(release)
		drain(t, r.sched)
	})
}

// A drain handles what waits in another lane because the breaker limits the attempts that run at
// a time.
func TestBreakerDrainOfSeveralLanes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8, func(p *Policy[string]) {
			p.MinBackoff, p.MaxBackoff, p.Budget = time.Hour, time.Hour, 24*time.Hour
			p.Classify = func(err error) event.Verdict {
				if errors.Is(err, errNever) {
					return event.VerdictDeadLetter
				}
				return event.VerdictRetry
			}
		})
		other := r.sched.NewLane(0)
		r.breaker.Guard(other)
		r.set(func() { r.down = true })
		r.send("a", "b", "c", "d") // one more failure opens it
		r.set(func() { r.down, r.took = false, time.Second })
		r.set(func() { r.bad["first"] = errNever })
		r.send("first")
		r.sched.Submit(Item{Lane: other, Key: 2, Must: true, Task: taskFunc(func(ctx context.Context) {
			select {
			case <-time.After(2 * time.Second):
				r.set(func() { r.handled = append(r.handled, "second") })
			case <-ctx.Done():
			}
		})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := r.sched.Drain(ctx)
		if d, ok := errors.AsType[*DrainError](err); r.count(&r.handled) != 1 || ok && d.Dropped > 4 {
			t.Errorf("handled %v, %v", r.handled, err)
		}
	})
}
