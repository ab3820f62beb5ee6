package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// rig has a breaker with messages behind it, and a dependency that can be down.
type rig struct {
	*testing.T
	sched    *Scheduler
	lane     *Lane
	breaker  *Breaker
	attempts *Attempts[string]
	down     bool
	bad      map[string]error // of messages that always fail
	took     time.Duration
	mu       sync.Mutex // of what handlers write
	tried    []string
	handled  []string
	letters  []string
	phases   []Phase
	done     *doneCount
}

func newRig(t *testing.T, workers int, change func(*Policy[string])) *rig {
	t.Helper()
	r := &rig{T: t, sched: newScheduler(t, SchedulerOptions{Workers: workers}), bad: make(map[string]error), done: newDone()}
	var err error
	r.breaker, err = NewBreaker(BreakerOptions{
		Failures: 5, Window: time.Minute, Pause: 5 * time.Second,
		Changed: func(s BreakerStatus) { r.set(func() { r.phases = append(r.phases, s.Phase) }) },
	})
	if err != nil {
		t.Fatal(err)
	}
	r.lane = r.sched.NewLane(0)
	r.breaker.Guard(r.lane)
	p := Policy[string]{Breaker: r.breaker, DeadLetter: func(_ context.Context, m string, _ error, _ int) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.letters = append(r.letters, m)
		return nil
	}}
	if change != nil {
		change(&p)
	}
	r.attempts = newAttempts(t, func(_ context.Context, m string, _ int) error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.tried = append(r.tried, m)
		if r.took > 0 {
			r.mu.Unlock()
			<-time.After(r.took)
			r.mu.Lock()
		}
		if err := r.bad[m]; err != nil {
			return err
		}
		if r.down {
			return errBoom
		}
		r.handled = append(r.handled, m)
		return nil
	}, p)
	return r
}

// set changes what handlers read.
func (r *rig) set(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// count returns how many names a list has.
func (r *rig) count(list *[]string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(*list)
}

// seen returns the phases so far.
func (r *rig) seen() []Phase {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.phases)
}

// send submits messages, each with a key of its own.
func (r *rig) send(names ...string) {
	for _, m := range names {
		r.sched.Submit(Item{Task: r.attempts.Deliver(m, &r.done.Entry), Lane: r.lane, Key: r.sched.Key(m), Must: true})
	}
	synctest.Wait()
}

func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func many(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("m%03d", i))
	}
	return names
}

// A dependency that is down for a minute costs a few attempts and no message, whatever
// arrives meanwhile.
func TestBreakerOutage(t *testing.T) {
	t.Parallel()
	for _, messages := range []int{1, 3, 50} {
		for _, attempts := range []int{0, 5} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 8, func(p *Policy[string]) { p.MaxAttempts = attempts })
				r.set(func() { r.down = true })
				r.send(many(messages)...)
				wait(time.Minute)
				if n := r.count(&r.tried); n < 5 || n > 20 {
					t.Errorf("%d attempts at %d messages within a minute", n, messages)
				}
				if s := r.breaker.Status(); s.Phase != Open || time.Until(s.NextTrial) > 5*time.Second || s.Failures != r.count(&r.tried) || !errors.Is(s.Err, errBoom) {
					t.Errorf("status %+v after %d attempts", s, r.count(&r.tried))
				}
				if r.breaker.Waiting() != messages {
					t.Errorf("%d wait", r.breaker.Waiting())
				}
				r.set(func() { r.down = false })
				wait(7 * time.Second)
				if r.count(&r.handled) != messages || r.count(&r.letters) > 0 || r.breaker.Waiting() != 0 {
					t.Errorf("%d of %d handled, %d letters", r.count(&r.handled), messages, r.count(&r.letters))
				}
				if s := r.breaker.Status(); !s.Passing() || s.Failures != 0 || s.Err != nil || !s.Since.IsZero() {
					t.Errorf("status %+v afterwards", s)
				}
				if !slices.Equal(r.seen()[:3], []Phase{Open, HalfOpen, Open}) || r.seen()[len(r.seen())-1] != Closed {
					t.Errorf("phases %v", r.phases)
				}
				drain(t, r.sched)
			})
		}
	}
}

// Attempts that take longer than the budget, as those that run into a timeout do, make no
// dead letters before the breaker has opened. A message whose attempts are too slow for it
// to open at all becomes a dead letter after the window.
func TestBreakerWaitsForSlowFailures(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		messages int
		took     time.Duration
		opens    bool
	}{{50, 10 * time.Second, true}, {50, 31 * time.Second, true}, {1, 10 * time.Second, true}, {1, 31 * time.Second, false}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 8, nil)
			r.set(func() { r.down, r.took = true, tt.took })
			r.send(many(tt.messages)...)
			wait(2 * time.Minute)
			if opened := r.breaker.Status().Phase != Closed; opened != tt.opens {
				t.Errorf("%d messages, %v each: %+v", tt.messages, tt.took, r.breaker.Status())
			}
			r.set(func() { r.down = false })
			wait(10 * time.Minute)
			lost := tt.messages
			if tt.opens {
				lost = 0
			}
			if n := r.count(&r.letters); n != lost || r.count(&r.handled) != tt.messages-lost {
				t.Errorf("%d messages, %v each: %d letters, %d handled", tt.messages, tt.took, n, r.count(&r.handled))
			}
			drain(t, r.sched)
		})
	}
	t.Run("others succeed", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 2, nil)
			r.set(func() { r.bad["poison"], r.took = errBoom, 10*time.Second })
			r.send("poison")
			wait(time.Second) // so that the other one succeeds after its failure
			r.send("good")
			wait(30 * time.Second)
			if r.count(&r.letters) != 1 || r.count(&r.handled) != 1 {
				t.Errorf("%d letters, %d handled", r.count(&r.letters), r.count(&r.handled))
			}
			drain(t, r.sched)
		})
	})
}

// While half-open one key is tried at a time.
func TestBreakerTriesOneKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 8, nil)
		r.set(func() { r.down, r.took = true, time.Second })
		r.send(many(50)...)
		wait(time.Second)
		before := r.count(&r.tried)
		if before != 8 { // those that were running
			t.Errorf("%d attempts", before)
		}
		wait(5500 * time.Millisecond)
		if n := r.count(&r.tried) - before; n != 1 {
			t.Errorf("%d keys are tried", n)
		}
		r.set(func() { r.down = false })
		wait(10 * time.Second)
		if r.count(&r.handled) != 50 || r.count(&r.letters) > 0 {
			t.Errorf("%d handled, %d letters", r.count(&r.handled), r.count(&r.letters))
		}
		drain(t, r.sched)
	})
}

// A message that cannot be handled does not stop the others, and becomes a dead letter.
func TestBreakerAndPoison(t *testing.T) {
	t.Parallel()
	permanent := func(p *Policy[string]) {
		p.Classify = func(err error) event.Verdict {
			if errors.Is(err, errNever) {
				return event.VerdictDeadLetter
			}
			return event.VerdictRetry
		}
	}
	t.Run("permanent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 4, permanent)
			names := many(30)
			for _, m := range names {
				r.set(func() { r.bad[m] = errNever })
			}
			r.send(names...)
			if r.count(&r.letters) != 30 || len(r.seen()) > 0 {
				t.Errorf("%d letters, phases %v", r.count(&r.letters), r.phases)
			}
			drain(t, r.sched)
		})
	})
	t.Run("among others", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 4, nil)
			r.set(func() { r.bad["poison"] = errBoom })
			r.send("poison")
			for i := range 100 {
				wait(100 * time.Millisecond)
				r.send(fmt.Sprint(i))
			}
			if r.count(&r.letters) != 1 || len(r.seen()) > 0 || r.count(&r.handled) != 100 {
				t.Errorf("%d letters, %d handled, phases %v", r.count(&r.letters), r.count(&r.handled), r.phases)
			}
			drain(t, r.sched)
		})
	})
	// Alone it looks like an outage, until another one succeeds; then it is to blame itself.
	t.Run("alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 4, nil)
			r.set(func() { r.bad["poison"] = errBoom })
			r.send("poison")
			wait(time.Minute)
			if r.breaker.Status().Passing() || r.count(&r.letters) > 0 {
				t.Errorf("status %+v, %d letters", r.breaker.Status(), r.count(&r.letters))
			}
			r.send("good")
			wait(20 * time.Second)
			if r.count(&r.letters) != 1 || r.count(&r.handled) != 1 || !r.breaker.Status().Passing() {
				t.Errorf("%d letters, %d handled, status %+v", r.count(&r.letters), r.count(&r.handled), r.breaker.Status())
			}
			drain(t, r.sched)
		})
	})
	t.Run("panic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 4, nil)
			names := many(10)
			for _, m := range names {
				r.set(func() { r.bad[m] = &PanicError{Value: "nil map"} })
			}
			r.send(names...)
			wait(20 * time.Second)
			if r.count(&r.letters) != 10 || len(r.seen()) > 0 {
				t.Errorf("%d letters, phases %v", r.count(&r.letters), r.phases)
			}
			drain(t, r.sched)
		})
	})
}

// What succeeds without the handler, as a duplicate does, proves nothing.
func TestBreakerIgnoresTheIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, func(p *Policy[string]) { p.Idle = func(m string) bool { return m == "duplicate" } })
		r.set(func() { r.bad["m"] = errBoom })
		r.send("m")
		wait(4 * time.Second)
		r.send("duplicate")
		wait(20 * time.Second)
		if r.count(&r.handled) != 1 || slices.Contains(r.seen(), Closed) || r.count(&r.letters) > 0 {
			t.Errorf("handled %v, phases %v", r.handled, r.phases)
		}
		r.set(func() { delete(r.bad, "m") })
		wait(6 * time.Second)
		drain(t, r.sched)
		if r.count(&r.handled) != 2 {
			t.Errorf("handled %v", r.handled)
		}
	})
}

// A pause by hand holds messages, waits for those that run, costs no budget, and ends
// with Resume.
func TestBreakerPausedByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, nil)
		r.set(func() { r.took, r.down = time.Second, true })
		r.send("a")
		if !r.breaker.Pause() || r.breaker.Pause() {
			t.Error("paused not once")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := r.breaker.Idle(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("idle while it runs: %v", err)
		}
		if err := r.breaker.Idle(t.Context()); err != nil || r.count(&r.tried) != 1 {
			t.Errorf("%v, %d attempts", err, r.count(&r.tried))
		}
		r.send("b", "c")
		wait(time.Hour)
		s := r.breaker.Status()
		if r.count(&r.tried) != 1 || !s.Paused || s.Since.IsZero() || r.breaker.Waiting() != 3 {
			t.Errorf("%d attempts, %+v", r.count(&r.tried), s)
		}
		r.set(func() { r.down = false })
		if !r.breaker.Resume() || r.breaker.Resume() {
			t.Error("resumed not once")
		}
		wait(10 * time.Second)
		if r.count(&r.handled) != 3 || r.count(&r.letters) > 0 || !r.breaker.Status().Passing() {
			t.Errorf("handled %v, letters %v", r.handled, r.letters)
		}
		drain(t, r.sched)
	})
}

// Resume of an open breaker tries a key at once; a pause by hand takes precedence over it.
func TestBreakerOpenAndByHand(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1, nil)
		r.set(func() { r.down = true })
		r.send(many(20)...)
		r.breaker.Pause()
		before := r.count(&r.tried)
		wait(time.Minute)
		if r.count(&r.tried) != before {
			t.Errorf("%d attempts while paused", r.count(&r.tried)-before)
		}
		r.breaker.Resume()
		synctest.Wait()
		if r.count(&r.tried) != before+1 || r.breaker.Status().Phase != Open {
			t.Errorf("%d attempts, %+v", r.count(&r.tried)-before, r.breaker.Status())
		}
		r.set(func() { r.down = false })
		r.breaker.Resume()
		wait(0)
		if r.count(&r.handled) != 20 {
			t.Errorf("%d handled", r.count(&r.handled))
		}
		drain(t, r.sched)
	})
}

// A drain leaves what a breaker stops, at once, and finishes what else there is.
func TestBreakerAndDrain(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(r *rig){
		"paused": func(r *rig) { r.breaker.Pause() },
		"open":   func(r *rig) { r.set(func() { r.down = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 4, nil)
				stop(r)
				r.send(many(10)...)
				wait(100 * time.Millisecond)
				other := 0
				r.sched.Submit(Item{Task: taskFunc(func(context.Context) { <-time.After(time.Second); other++ })})
				r.breaker.Freeze()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				err := r.sched.Drain(ctx)
				d, ok := errors.AsType[*DrainError](err)
				if !ok || d.Dropped != 10 || d.Running != 0 || other != 1 {
					t.Errorf("%v, %d others", err, other)
				}
				if took := time.Since(began); took != time.Second {
					t.Errorf("took %v", took)
				}
				if n := r.breaker.Waiting(); n != 10 {
					t.Errorf("%d are left", n)
				}
			})
		})
	}
}

// Lanes of several schedulers obey one breaker, and one key of all of them is tried.
func TestBreakerOfSeveralSchedulers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, nil)
		other := newScheduler(t, SchedulerOptions{Workers: 4})
		lane := other.NewLane(0)
		r.breaker.Guard(lane)
		r.set(func() { r.down, r.took = true, 10*time.Millisecond })
		for _, m := range many(40) {
			other.Submit(Item{Task: r.attempts.Deliver(m, &r.done.Entry), Lane: lane, Key: other.Key(m), Must: true})
		}
		r.send(many(40)...)
		wait(time.Minute)
		if n := r.count(&r.tried); n > 20 {
			t.Errorf("%d attempts", n)
		}
		r.set(func() { r.down = false })
		wait(7 * time.Second)
		if r.count(&r.handled) != 80 || r.count(&r.letters) > 0 {
			t.Errorf("%d handled, %d letters", r.count(&r.handled), r.count(&r.letters))
		}
		drain(t, r.sched)
		drain(t, other)
	})
}

// Many messages that fail as a whole count once, and wait together.
func TestBreakerTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4, nil)
		for i := range 5 {
			if wait := r.attempts.TogetherFailed(r.breaker.Epoch(), errBoom); wait != (i == 4) {
				t.Errorf("after %d failures: wait %t", i+1, wait)
			}
		}
		if r.attempts.TogetherFailed(r.breaker.Epoch(), &PanicError{}) {
			t.Error("a panic waits")
		}
		r.breaker.Freeze()
		if r.breaker.Resume() || r.breaker.Status().Phase != Open {
			t.Errorf("resumed during a drain: %+v", r.breaker.Status())
		}
		drain(t, r.sched)
	})
}

func TestBreakerOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []BreakerOptions{{Failures: -1}, {Failures: 1}, {Failures: 1, Window: 1}, {Failures: 1, Pause: 1}} {
		if _, err := NewBreaker(o); err == nil {
			t.Errorf("%+v passes", o)
		}
	}
}

var errNever = errors.New("never")
