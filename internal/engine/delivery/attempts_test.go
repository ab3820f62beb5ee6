package delivery

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errBoom = errors.New("boom")

// doneCount counts calls of Done.
type doneCount struct {
	mu sync.Mutex
	n  int
}

func (d *doneCount) Done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.n++
}

func (d *doneCount) want(t *testing.T, n int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n != n {
		t.Errorf("done %d times, want %d", d.n, n)
	}
}

// journal records what an Observer is told.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf(format, args...))
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.lines, want) {
		t.Errorf("observed\n  %s\nwant\n  %s", strings.Join(j.lines, "\n  "), strings.Join(want, "\n  "))
	}
}

func (j *journal) observer() Observer[string] {
	return Observer[string]{
		Attempted: func(msg string, attempt int, took time.Duration, err error) {
			j.add("attempted %s %d %v %v", msg, attempt, took, err)
		},
		Overrun: func(msg string, attempt int) { j.add("overrun %s %d", msg, attempt) },
		Retrying: func(msg string, attempts int, _ time.Duration, err error) {
			j.add("retrying %s %d %v", msg, attempts, err)
		},
		Finished:         func(msg string, o Outcome) { j.add("finished %s %v %d %v", msg, o.Result, o.Attempts, o.Err) },
		DeadLetterFailed: func(msg string, _ time.Duration, cause error) { j.add("dead letter failed %s %v", msg, cause) },
	}
}

func newAttempts(t testing.TB, h Handler[string], p Policy[string]) *Attempts[string] {
	t.Helper()
	a, err := NewAttempts(h, p)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// deliver runs one message to its end.
func deliver(t *testing.T, h Handler[string], p Policy[string]) *doneCount {
	t.Helper()
	done := &doneCount{}
	s := newScheduler(t, SchedulerOptions{})
	s.Submit(Item{Key: 1, Task: newAttempts(t, h, p).Deliver("m", done)})
	drain(t, s)
	return done
}

func noDeadLetter(context.Context, string, error, int) error { return nil }

func TestPolicyNamesAllProblems(t *testing.T) {
	t.Parallel()
	_, err := NewAttempts[string](nil, Policy[string]{Deadline: -1, Budget: -1, MaxAttempts: -1, MinBackoff: time.Hour, MaxBackoff: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"handler", "Deadline", "Budget", "MaxAttempts", "MinBackoff", "MaxBackoff"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

func TestHandledAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		done := deliver(t, func(context.Context, string, int) error {
			time.Sleep(time.Second)
			return nil
		}, Policy[string]{Observer: j.observer()})
		done.want(t, 1)
		j.want(t, "attempted m 1 1s <nil>", "finished m handled 1 <nil>")
	})
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		verdict Verdict
		want    []string
		letters int
	}{
		{Acknowledge, []string{"attempted m 1 0s boom", "finished m handled 1 boom"}, 0},
		{Drop, []string{"attempted m 1 0s boom", "finished m dropped 1 boom"}, 0},
		{DeadLetter, []string{"attempted m 1 0s boom", "finished m permanent 1 boom"}, 1},
		{Retry, []string{
			"attempted m 1 0s boom", "retrying m 1 boom",
			"attempted m 2 0s boom", "finished m exhausted 2 boom",
		}, 1},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.verdict), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var j journal
				letters := 0
				done := deliver(t, func(context.Context, string, int) error { return errBoom }, Policy[string]{
					MaxAttempts: 2,
					Classify:    func(error) Verdict { return tt.verdict },
					DeadLetter: func(_ context.Context, msg string, err error, attempts int) error {
						letters++
						if msg != "m" || !errors.Is(err, errBoom) || attempts == 0 {
							t.Errorf("dead letter %q %v %d", msg, err, attempts)
						}
						return nil
					},
					Observer: j.observer(),
				})
				done.want(t, 1)
				j.want(t, tt.want...)
				if letters != tt.letters {
					t.Errorf("%d dead letters, want %d", letters, tt.letters)
				}
			})
		})
	}
}

// One budget holds for all attempts; only starting another one is limited.
func TestBudget(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		attempt  time.Duration // how long an attempt takes
		policy   Policy[string]
		min, max int           // attempts
		within   time.Duration // from the first attempt to the dead letter
	}{
		{"default", 0, Policy[string]{}, 5, 8, 5 * time.Second},
		{"small", 0, Policy[string]{Budget: time.Second}, 3, 5, time.Second},
		{"slow handler", 3 * time.Second, Policy[string]{}, 2, 2, 8 * time.Second},
		{"slower than the budget", 20 * time.Second, Policy[string]{}, 1, 1, 20 * time.Second},
		{"attempts", 0, Policy[string]{MaxAttempts: 3}, 3, 3, 5 * time.Second},
		{"no retry", 0, Policy[string]{MaxAttempts: 1}, 1, 1, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var attempts []int
				start := time.Now()
				tt.policy.DeadLetter = func(_ context.Context, _ string, _ error, n int) error {
					if n != len(attempts) {
						t.Errorf("attempts = %d, want %d", n, len(attempts))
					}
					return nil
				}
				done := deliver(t, func(_ context.Context, _ string, attempt int) error {
					attempts = append(attempts, attempt)
					time.Sleep(tt.attempt)
					return errBoom
				}, tt.policy)
				done.want(t, 1)
				if n := len(attempts); n < tt.min || n > tt.max {
					t.Errorf("%d attempts, want %d to %d", n, tt.min, tt.max)
				}
				for i, n := range attempts {
					if n != i+1 {
						t.Errorf("attempts numbered %v", attempts)
						break
					}
				}
				if took := time.Since(start); took > tt.within {
					t.Errorf("took %v, want at most %v", took, tt.within)
				}
			})
		})
	}
}

func TestPausesGrowAndAreCapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var pauses []time.Duration
		policy := Policy[string]{MinBackoff: time.Second, MaxBackoff: 4 * time.Second, Budget: time.Hour, MaxAttempts: 12, DeadLetter: noDeadLetter}
		policy.Observer.Retrying = func(_ string, _ int, after time.Duration, _ error) { pauses = append(pauses, after) }
		deliver(t, func(context.Context, string, int) error { return errBoom }, policy)
		if len(pauses) != 11 {
			t.Fatalf("pauses = %v", pauses)
		}
		for i, p := range pauses {
			nominal := min(time.Second<<i, 4*time.Second)
			if p < nominal/2 || p > min(nominal*3/2, 4*time.Second) {
				t.Errorf("pause %d is %v, nominal %v", i, p, nominal)
			}
		}
	})
}

// T4: not acknowledging is no negative acknowledgement: a failing handler is
// retried here, its message dead-lettered, and then acknowledged; messages
// behind it are handled meanwhile. V3: the same on MQTT 5.
func TestT4FailureIsRetriedThenDeadLetteredThenAcked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		l := NewLedger(false, r.emit)
		s := newScheduler(t, SchedulerOptions{Workers: 1})
		var letters []string
		a := newAttempts(t, func(_ context.Context, msg string, _ int) error {
			if msg == "bad" {
				return errBoom
			}
			return nil
		}, Policy[string]{DeadLetter: func(_ context.Context, msg string, _ error, _ int) error {
			if n := len(r.seen()); n != 0 {
				t.Errorf("%d acks before the dead letter was stored", n)
			}
			letters = append(letters, msg)
			return nil
		}})
		for i, msg := range []string{"bad", "good"} {
			s.Submit(Item{Key: s.Key(msg), Must: true, Task: a.Deliver(msg, l.Add(uint16(i+1), 1))})
		}
		synctest.Wait()
		wantAcks(t, &r)
		drain(t, s)
		wantAcks(t, &r, Ack{1, 1}, Ack{2, 1})
		if !slices.Equal(letters, []string{"bad"}) {
			t.Errorf("dead letters = %v", letters)
		}
	})
}

// T6: a message that several handlers got is acknowledged after the last.
func TestT6AckAfterAllHandlers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		l := NewLedger(false, r.emit)
		s := newScheduler(t, SchedulerOptions{})
		quick := newAttempts(t, func(context.Context, string, int) error { return nil }, Policy[string]{})
		failing := newAttempts(t, func(_ context.Context, _ string, attempt int) error {
			if attempt < 3 {
				return errBoom
			}
			return nil
		}, Policy[string]{})
		slow := newAttempts(t, func(context.Context, string, int) error { time.Sleep(10 * time.Second); return nil }, Policy[string]{})
		all := Join(3, l.Add(1, 2))
		for _, a := range []*Attempts[string]{quick, failing, slow} {
			s.Submit(Item{Lane: s.NewLane(0), Key: 1, Must: true, Task: a.Deliver("m", all)})
		}
		time.Sleep(9 * time.Second)
		synctest.Wait()
		wantAcks(t, &r)
		drain(t, s)
		wantAcks(t, &r, Ack{1, 2})
	})
}

// T3: a message nobody handles does not stay unacknowledged.
func TestT3NoHandlerIsDoneAtOnce(t *testing.T) {
	t.Parallel()
	var r recorder
	l := NewLedger(false, r.emit)
	Join(0, l.Add(1, 1))
	wantAcks(t, &r, Ack{1, 1})
	one := l.Add(2, 1)
	if Join(1, one) != Doner(one) {
		t.Error("a single handler needs no counter")
	}
}

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
			if !errors.As(got, &p) || !strings.Contains(string(p.Stack), "attempts_test.go") {
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
			Classify: func(error) Verdict { panic("classify") },
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

// An attempt that ignores its context is reported while it hangs, and has no
// second one beside it.
func TestAttemptThatIgnoresItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		running := 0
		gate := make(chan struct{})
		done := &doneCount{}
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
		s.Submit(Item{Key: 1, Task: a.Deliver("m", done)})
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

// A context that outlives its attempt stays ended while the next one runs.
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

// A dead letter that cannot be stored is never acknowledged, and tried again
// without running the handler again.
func TestDeadLetterFailsThenSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		var r recorder
		l := NewLedger(false, r.emit)
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

// Without a place for dead letters nothing is given up, whatever the verdict.
func TestNoDeadLetterRetriesOn(t *testing.T) {
	t.Parallel()
	for _, verdict := range []Verdict{Retry, DeadLetter} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			done := deliver(t, func(context.Context, string, int) error {
				if attempts++; attempts < 50 {
					return errBoom
				}
				return nil
			}, Policy[string]{MaxAttempts: 2, MaxBackoff: time.Second, Classify: func(error) Verdict { return verdict }})
			done.want(t, 1)
			if attempts != 50 {
				t.Errorf("%d attempts", attempts)
			}
		})
	}
}

// What a stop cut off did not fail: no dead letter, no ack, no verdict.
func TestStopIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var j journal
		done := &doneCount{}
		s := newScheduler(t, SchedulerOptions{})
		policy := Policy[string]{
			MaxAttempts: 1,
			Classify:    func(error) Verdict { t.Error("classified"); return Drop },
			DeadLetter:  func(context.Context, string, error, int) error { t.Error("dead-lettered"); return nil },
			Observer:    j.observer(),
		}
		cut := newAttempts(t, func(ctx context.Context, _ string, _ int) error { <-ctx.Done(); return ctx.Err() }, policy)
		finishes := newAttempts(t, func(ctx context.Context, _ string, _ int) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil
		}, Policy[string]{Observer: j.observer()})
		finished := &doneCount{}
		s.Submit(Item{Task: cut.Deliver("cut", done)}, Item{Task: finishes.Deliver("late", finished)})
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
		done := &doneCount{}
		s := newScheduler(t, SchedulerOptions{})
		a := newAttempts(t, func(context.Context, string, int) error { return errBoom }, Policy[string]{
			MaxAttempts: 1,
			DeadLetter:  func(ctx context.Context, _ string, _ error, _ int) error { <-ctx.Done(); return ctx.Err() },
			Observer:    Observer[string]{DeadLetterFailed: func(string, time.Duration, error) { t.Error("reported") }},
		})
		s.Submit(Item{Task: a.Deliver("m", done)})
		synctest.Wait()
		s.Close()
		done.want(t, 0)
	})
}

func TestZeroHooksAndNoDoner(t *testing.T) {
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
