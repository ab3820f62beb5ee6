package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

var errElsewhere = errors.New("at work elsewhere")

// A handler that could not begin holds no worker and counts no attempt. Its
// message keeps its place and runs when it is woken.
func TestLaterHoldsNoWorker(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 1})
		lane := s.NewLane(0)
		var end func() // end of the work elsewhere
		busy, calls, asked, attempts := true, 0, 0, 0
		var order []string
		var first *Delivery[string]
		policy := Policy[string]{MaxAttempts: 1, Waker: func(string) func() { return func() { lane.Wake(1, first) } }}
		policy.Observer.Attempted = func(string, int, time.Duration, error) { attempts++ }
		a, err := NewAttempts(func(ctx context.Context, msg string, attempt int) error {
			if ctx.Err() != nil || attempt != 1 {
				t.Errorf("attempt %d, %v", attempt, ctx.Err())
			}
			if msg == "first" && busy {
				calls++
				return &LaterError{errElsewhere, func(f func()) { asked, end = asked+1, f }}
			}
			order = append(order, msg)
			return nil
		}, policy)
		if err != nil {
			t.Fatal(err)
		}
		done := newDone()
		first = a.Deliver("first", &done.Entry)
		s.Submit(Item{Task: first, Lane: lane, Key: 1}, Item{Task: a.Deliver("behind", &done.Entry), Lane: lane, Key: 1},
			Item{Task: a.Deliver("other", &done.Entry), Lane: lane, Key: 2})
		synctest.Wait()
		if len(order) != 1 || order[0] != "other" || s.Stats().Running != 0 {
			t.Errorf("handled %v, %+v", order, s.Stats())
		}
		<-time.After(time.Minute) // longer than any budget
		synctest.Wait()           // also for timers that are due at the same time
		began := time.Now()
		busy = false
		end()
		synctest.Wait()
		if len(order) != 3 || order[1] != "first" || time.Since(began) != 0 {
			t.Errorf("handled %v after %v", order, time.Since(began))
		}
		if attempts != 3 || done.count() != 3 || calls < 2 || calls > 13 {
			t.Errorf("%d attempts, %d done, %d calls", attempts, done.count(), calls)
		}
		if asked != 1 { // work that never ends would otherwise collect one function for each call
			t.Errorf("asked to be told of the end %d times, want once", asked)
		}
		drain(t, s)
	})
}

// Without OnEnd pauses grow to a second, and a failure afterwards has its whole
// budget.
func TestLaterIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{})
		began, calls, failures := time.Now(), 0, 0
		var outcome Outcome
		policy := Policy[string]{DeadLetter: func(context.Context, string, error, int) error { return nil }}
		policy.Observer.Finished = func(_ string, o Outcome) { outcome = o }
		a, err := NewAttempts(func(context.Context, string, int) error {
			if time.Since(began) < 30*time.Second {
				calls++
				return &LaterError{Err: errElsewhere}
			}
			failures++
			return errors.New("no")
		}, policy)
		if err != nil {
			t.Fatal(err)
		}
		s.Submit(Item{Task: a.Deliver("m", nil)})
		drain(t, s)
		if calls < 30 || calls > 40 {
			t.Errorf("%d calls within 30 s", calls)
		}
		if outcome.Result != Exhausted || outcome.Attempts != failures || failures < 3 {
			t.Errorf("%+v, %d failures", outcome, failures)
		}
	})
}

// A Wake while the task is still with its worker is not lost.
func TestWakeOfARunningTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{})
		lane := s.NewLane(0)
		runs := 0
		var task Task
		task = again(func() (time.Duration, bool) {
			if runs++; runs == 1 {
				lane.Wake(1, task)
				lane.Wake(0, task)
				lane.Wake(2, task)
				return time.Hour, false
			}
			return 0, true
		})
		task = &pointedTask{task}
		began := time.Now()
		s.Submit(Item{Task: task, Lane: lane, Key: 1})
		drain(t, s)
		if runs != 2 || time.Since(began) != 0 {
			t.Errorf("%d runs within %v", runs, time.Since(began))
		}
		lane.Wake(1, task) // the key has no task any more
	})
}

type again func() (time.Duration, bool)

func (f again) Run(context.Context) (time.Duration, bool) { return f() }

// pointedTask is a task that can be compared.
type pointedTask struct{ Task }
