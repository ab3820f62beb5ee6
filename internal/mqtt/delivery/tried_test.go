package delivery

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// An attempt that was made elsewhere counts, and a message that is behind a
// parked one by then waits.
func TestTried(t *testing.T) {
	t.Parallel()
	first := errors.New("first")
	for name, tt := range map[string]struct {
		err      error
		hold     Hold
		result   Result
		attempts int
	}{
		"handled":         {nil, Free, Handled, 1},
		"handled, behind": {nil, Behind, Handled, 1},
		"failed":          {first, Free, Handled, 2},
		"failed, behind":  {first, Behind, Parked, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var end Outcome
			a, err := NewAttempts(func(context.Context, string, int) error { return nil }, Policy[string]{
				Held:     func(string) Hold { return tt.hold },
				Park:     func(context.Context, string, error, int) error { return nil },
				Observer: Observer[string]{Finished: func(_ string, o Outcome) { end = o }},
			})
			if err != nil {
				t.Fatal(err)
			}
			d := a.Deliver("m", nil)
			d.Tried(time.Now(), 0, tt.err)
			for {
				if _, done := d.Run(t.Context()); done {
					break
				}
			}
			if end.Result != tt.result || end.Attempts != tt.attempts {
				t.Errorf("got %+v", end)
			}
		})
	}
}

// During a drain Continue is accepted and Submit is not.
func TestContinueWhileDraining(t *testing.T) {
	t.Parallel()
	s, err := NewScheduler(t.Context(), SchedulerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	running, goOn, ran := make(chan struct{}), make(chan struct{}), make(chan struct{})
	s.Submit(Item{Must: true, Task: runFunc(func() {
		close(running)
		<-goOn
		if s.Submit(Item{Must: true, Task: runFunc(func() {})}) != 0 {
			t.Error("submitted while draining")
		}
		if s.Continue(Item{Must: true, Task: runFunc(func() { close(ran) })}) != 1 {
			t.Error("not accepted")
		}
	})})
	<-running
	drained := make(chan error)
	go func() { drained <- s.Drain(context.Background()) }()
	for !s.isDraining() {
		time.Sleep(time.Millisecond)
	}
	close(goOn)
	<-ran
	if err := <-drained; err != nil {
		t.Error(err)
	}
	if s.Continue(Item{Must: true, Task: runFunc(func() {})}) != 0 {
		t.Error("accepted after the end")
	}
}

func (s *Scheduler) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

type runFunc func()

func (f runFunc) Run(context.Context) (time.Duration, bool) {
	f()
	return 0, true
}

// A failure of many messages as a whole is judged for none of them: each is
// tried by itself, even if no retry is left or would help.
func TestTriedTogether(t *testing.T) {
	t.Parallel()
	never := errors.New("never")
	for name, single := range map[string]error{"good by itself": nil, "bad by itself": never} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var end Outcome
			tries := 0
			a, err := NewAttempts(func(context.Context, string, int) error { tries++; return single }, Policy[string]{
				MaxAttempts: 1,
				Classify:    func(error) event.Verdict { return event.VerdictDeadLetter },
				DeadLetter:  func(context.Context, string, error, int) error { return nil },
				Observer:    Observer[string]{Finished: func(_ string, o Outcome) { end = o }},
			})
			if err != nil {
				t.Fatal(err)
			}
			d := a.Deliver("m", nil)
			d.TriedTogether(time.Now(), never)
			if _, done := d.Run(t.Context()); !done || tries != 1 || end.Attempts != 2 {
				t.Errorf("done %v, %d tries, outcome %+v", done, tries, end)
			}
			if got, want := end.Result == Handled, single == nil; got != want {
				t.Errorf("result %v", end.Result)
			}
		})
	}
}

// Each message has its whole budget, because one message may have taken the
// time of all.
func TestTriedTogetherLeavesTheBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const long = 30 * time.Second
		tries := 0
		a := newAttempts(t, func(context.Context, string, int) error {
			if tries++; tries < 3 {
				return errBoom
			}
			return nil
		}, Policy[string]{DeadLetter: func(context.Context, string, error, int) error {
			t.Error("a dead letter")
			return nil
		}})
		began := time.Now()
		time.Sleep(long)
		d := a.Deliver("m", nil)
		d.TriedTogether(began, errBoom)
		time.Sleep(long) // after the others of its batch
		for {
			again, done := d.Run(t.Context())
			if done {
				break
			}
			time.Sleep(again)
		}
		if tries != 3 || !d.Started().Equal(began) {
			t.Errorf("%d tries, begun at %v, want 3 and %v", tries, d.Started(), began)
		}
	})
}
