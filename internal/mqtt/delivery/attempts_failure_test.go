package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// T14: a panic is an error of the attempt.
func TestT14PanicIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, value := range []any{"text", errBoom, nil} {
			var got error
			done := deliver(t, func(context.Context, string, int) error { panic(value) }, Policy[string]{
				MaxAttempts: 2,
				DeadLetter:  func(_ context.Context, _ string, err error, _ int) error { got = err; return nil },
			})
			done.want(t, 1)
			var p *PanicError
			if !errors.As(got, &p) || !strings.Contains(string(p.Stack), "attempts_failure_test.go") {
				t.Fatalf("err = %v", got)
			}
			if value == any(errBoom) && !errors.Is(got, errBoom) {
				t.Error("the panic's error is not wrapped")
			}
			if strings.Contains(got.Error(), "goroutine") {
				t.Errorf("the message contains the stack: %v", got)
			}
		}
	})
}

func TestPanicsInClassifyAndDeadLetter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		letters := 0
		done := deliver(t, func(context.Context, string, int) error { return errBoom }, Policy[string]{
			Classify: func(error) event.Verdict { panic("classify") },
			DeadLetter: func(context.Context, string, error, int) error {
				if letters++; letters == 1 {
					panic("dead letter")
				}
				return nil
			},
		})
		done.want(t, 1)
		if letters != 2 {
			t.Errorf("%d dead letter calls, want 2", letters)
		}
	})
}

func TestHandlerThatEndsItsGoroutineFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got error
		attempts := 0
		done := deliver(t, func(context.Context, string, int) error {
			attempts++
			runtime.Goexit()
			return nil
		}, Policy[string]{
			MaxAttempts: 2,
			DeadLetter:  func(_ context.Context, _ string, err error, _ int) error { got = err; return nil },
		})
		done.want(t, 1)
		if attempts != 2 || !errors.Is(got, ErrGoexit) {
			t.Errorf("attempts = %d, err = %v", attempts, got)
		}
	})
}

// V1: every attempt has a deadline.
func TestV1Deadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		done := deliver(t, func(ctx context.Context, _ string, attempt int) error {
			if attempt == 2 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}, Policy[string]{Deadline: 2 * time.Second, Observer: Observer[string]{Attempted: j.observer().Attempted}})
		done.want(t, 1)
		j.want(t, "attempted m 1 2s context deadline exceeded", "attempted m 2 0s <nil>")
	})
}

// An attempt that ignores its context is reported while it runs, and no second
// attempt starts meanwhile.
func TestAttemptThatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		running := 0
		gate := make(chan struct{})
		done := newDone()
		s := newScheduler(t, SchedulerOptions{Workers: 4})
		a := newAttempts(t, func(_ context.Context, _ string, attempt int) error {
			running++
			defer func() { running-- }()
			if running != 1 {
				t.Error("two attempts at the same time")
			}
			if attempt == 1 {
				<-gate
				return errBoom
			}
			return nil
		}, Policy[string]{Deadline: time.Second, Budget: 2 * time.Hour, Observer: j.observer()})
		s.Submit(Item{Key: 1, Task: a.Deliver("m", &done.Entry)})
		time.Sleep(time.Hour)
		synctest.Wait()
		j.want(t, "overrun m 1")
		done.want(t, 0)
		close(gate)
		drain(t, s)
		done.want(t, 1)
		j.want(t, "overrun m 1", "attempted m 1 1h0m0s boom", "retrying m 1 boom", "attempted m 2 0s <nil>", "finished m handled 2 <nil>")
	})
}

// An attempt that obeys its context is not reported, although it returns a moment after its
// deadline.
func TestAttemptThatObeysItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		done := newDone()
		s := newScheduler(t, SchedulerOptions{})
		a := newAttempts(t, func(ctx context.Context, _ string, _ int) error {
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond) // it closes a connection
			return ctx.Err()
		}, Policy[string]{Deadline: time.Second, Exhausted: event.ExhaustedDrop, MaxAttempts: 1, Observer: j.observer()})
		s.Submit(Item{Key: 1, Task: a.Deliver("m", &done.Entry)})
		drain(t, s)
		j.want(t, "attempted m 1 1.1s context deadline exceeded", "finished m dropped 1 context deadline exceeded")
	})
}

// A context that outlives its attempt stays ended while the next attempt runs.
func TestContextKeptFromAnEarlierAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var first context.Context
		done := deliver(t, func(ctx context.Context, _ string, attempt int) error {
			if attempt == 1 {
				first = ctx
				return errBoom
			}
			if first.Err() == nil || ctx.Err() != nil {
				t.Errorf("first: %v, second: %v", first.Err(), ctx.Err())
			}
			return nil
		}, Policy[string]{})
		done.want(t, 1)
	})
}

// A message whose dead letter cannot be stored is never acknowledged. Storing
// is retried without running the handler again.
func TestDeadLetterFailsThenSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var r recorder
		l := newPulled(false, r.emit)
		s := newScheduler(t, SchedulerOptions{})
		var calls []time.Time
		attempts := 0
		a := newAttempts(t, func(context.Context, string, int) error { attempts++; return errBoom }, Policy[string]{
			MaxAttempts: 3,
			MinBackoff:  time.Second,
			MaxBackoff:  4 * time.Second,
			Budget:      time.Minute,
			DeadLetter: func(ctx context.Context, _ string, _ error, _ int) error {
				if _, ok := ctx.Deadline(); !ok {
					t.Error("no deadline")
				}
				if calls = append(calls, time.Now()); len(calls) <= 10 {
					return fmt.Errorf("down %d", len(calls))
				}
				return nil
			},
			Observer: Observer[string]{Finished: j.observer().Finished, DeadLetterFailed: func(_ string, after time.Duration, _ error) {
				if after <= 0 || after > 4*time.Second || len(calls) == 1 && after > 1500*time.Millisecond {
					t.Errorf("again after %v", after)
				}
				wantAcks(t, &r)
			}},
		})
		s.Submit(Item{Key: 1, Must: true, Task: a.Deliver("m", l.Add(1, 1))})
		drain(t, s)
		wantAcks(t, &r, Ack{1, 1})
		j.want(t, "finished m exhausted 3 boom")
		if attempts != 3 || len(calls) != 11 {
			t.Errorf("%d attempts, %d dead letter calls", attempts, len(calls))
		}
	})
}

// Without a dead-letter function no message is given up, whatever the verdict.
func TestNoDeadLetterRetriesOn(t *testing.T) {
	t.Parallel()
	for _, verdict := range []event.Verdict{event.VerdictRetry, event.VerdictDeadLetter} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			done := deliver(t, func(context.Context, string, int) error {
				if attempts++; attempts < 50 {
					return errBoom
				}
				return nil
			}, Policy[string]{MaxAttempts: 2, MaxBackoff: time.Second, Classify: func(error) event.Verdict { return verdict }})
			done.want(t, 1)
			if attempts != 50 {
				t.Errorf("%d attempts", attempts)
			}
		})
	}
}

// An attempt that is cut off by a stop is not a failure: no dead letter, no
// acknowledgement, no verdict.
func TestStopIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		done := newDone()
		s := newScheduler(t, SchedulerOptions{})
		policy := Policy[string]{
			MaxAttempts: 1,
			Classify:    func(error) event.Verdict { t.Error("classified"); return event.VerdictDrop },
			DeadLetter:  func(context.Context, string, error, int) error { t.Error("dead-lettered"); return nil },
			Observer:    j.observer(),
		}
		cut := newAttempts(t, func(ctx context.Context, _ string, _ int) error { <-ctx.Done(); return ctx.Err() }, policy)
		finishes := newAttempts(t, func(ctx context.Context, _ string, _ int) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil
		}, Policy[string]{Observer: j.observer()})
		finished := newDone()
		s.Submit(Item{Task: cut.Deliver("cut", &done.Entry)}, Item{Task: finishes.Deliver("late", &finished.Entry)})
		synctest.Wait()
		s.Close()
		done.want(t, 0)
		finished.want(t, 1)
		j.want(t, "attempted cut 1 0s context canceled", "attempted late 1 1s <nil>", "finished late handled 1 <nil>")
	})
}

func TestStopWhileBuryingIsNoAck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := newDone()
		s := newScheduler(t, SchedulerOptions{})
		a := newAttempts(t, func(context.Context, string, int) error { return errBoom }, Policy[string]{
			MaxAttempts: 1,
			DeadLetter:  func(ctx context.Context, _ string, _ error, _ int) error { <-ctx.Done(); return ctx.Err() },
			Observer:    Observer[string]{DeadLetterFailed: func(string, time.Duration, error) { t.Error("reported") }},
		})
		s.Submit(Item{Task: a.Deliver("m", &done.Entry)})
		synctest.Wait()
		s.Close()
		done.want(t, 0)
	})
}

func TestZeroHooksAndNoEntry(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{})
	ran := make(chan struct{})
	a := newAttempts(t, func(context.Context, string, int) error { close(ran); return nil }, Policy[string]{})
	var d Delivery[string]
	a.Prepare(&d, "m", nil)
	s.Submit(Item{Task: &d})
	<-ran
	drain(t, s)
}

func TestResultString(t *testing.T) {
	t.Parallel()
	for r, want := range map[Result]string{Handled: "handled", Exhausted: "exhausted", Permanent: "permanent", Dropped: "dropped", 9: "result(9)"} {
		if got := r.String(); got != want {
			t.Errorf("%d = %q, want %q", int(r), got, want)
		}
	}
}
