package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

var errBoom = errors.New("boom")

// doneCount is an entry with room for many handlers, so that it counts calls of
// Done.
type doneCount struct{ Entry }

const mostDone = 100

func newDone() *doneCount {
	d := new(doneCount)
	d.Share(mostDone)
	return d
}

func (d *doneCount) count() int { return mostDone - 1 - int(d.others.Load()) }

func (d *doneCount) want(t *testing.T, n int) {
	t.Helper()
	if got := d.count(); got != n {
		t.Errorf("done %d times, want %d", got, n)
	}
}

// journal records the calls of an Observer.
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

// deliver runs one message until it is done.
func deliver(t *testing.T, h Handler[string], p Policy[string]) *doneCount {
	t.Helper()
	done := newDone()
	s := newScheduler(t, SchedulerOptions{})
	s.Submit(Item{Key: 1, Task: newAttempts(t, h, p).Deliver("m", &done.Entry)})
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
		verdict event.Verdict
		want    []string
		letters int
	}{
		{event.VerdictAcknowledge, []string{"attempted m 1 0s boom", "finished m handled 1 boom"}, 0},
		{event.VerdictDrop, []string{"attempted m 1 0s boom", "finished m dropped 1 boom"}, 0},
		{event.VerdictDeadLetter, []string{"attempted m 1 0s boom", "finished m permanent 1 boom"}, 1},
		{event.VerdictRetry, []string{
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
					Classify:    func(error) event.Verdict { return tt.verdict },
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

// One budget applies to all attempts. It only limits the start of another one.
func TestBudget(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		attempt  time.Duration // how long an attempt takes
		policy   Policy[string]
		min, max int           // number of attempts
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

// T4: a failing handler is retried locally, its message is dead-lettered and
// then acknowledged, and messages after it are handled meanwhile; not
// acknowledging would not make the broker redeliver. V3: the same on MQTT 5.
func TestT4FailureIsRetriedThenDeadLetteredThenAcked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		l := newPulled(false, r.emit)
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

// T6: a message with several handlers is acknowledged after the last one.
func TestT6AckAfterAllHandlers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r recorder
		l := newPulled(false, r.emit)
		s := newScheduler(t, SchedulerOptions{})
		quick := newAttempts(t, func(context.Context, string, int) error { return nil }, Policy[string]{})
		failing := newAttempts(t, func(_ context.Context, _ string, attempt int) error {
			if attempt < 3 {
				return errBoom
			}
			return nil
		}, Policy[string]{})
		slow := newAttempts(t, func(context.Context, string, int) error { time.Sleep(10 * time.Second); return nil }, Policy[string]{})
		all := l.Add(1, 2)
		all.Share(3)
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

// A message is done with the last of its handlers, and once.
func TestEntryIsSharedByHandlers(t *testing.T) {
	t.Parallel()
	var r recorder
	l := newPulled(false, r.emit)
	e := l.Add(1, 1)
	e.Share(2)
	e.Done()
	wantAcks(t, &r)
	e.Done()
	e.Done()
	wantAcks(t, &r, Ack{1, 1})
	again := l.Add(2, 1)
	again.Share(1)
	again.Done()
	wantAcks(t, &r, Ack{1, 1}, Ack{2, 1})
}
