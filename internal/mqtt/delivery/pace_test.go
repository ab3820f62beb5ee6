package delivery

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// While tasks are quick only as many workers run as there are processors; when
// those block, the others run the waiting work.
func TestQuickTasksHoldBackWorkersUntilOneBlocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 8})
		s.pace.procs, s.pace.quick = 2, true
		gate := make(chan struct{})
		blocked := taskFunc(func(context.Context) { <-gate })
		s.Submit(Item{Task: blocked}, Item{Task: blocked}, Item{Task: blocked},
			Item{Task: taskFunc(func(context.Context) { close(gate) })})
		synctest.Wait()
		if got := s.Stats(); got.Running != 2 || got.Workers != 2 {
			t.Errorf("Stats = %+v, want 2 running", got)
		}
		start := time.Now()
		drain(t, s)
		if took := time.Since(start); took != paceInterval {
			t.Errorf("the others were let in after %v", took)
		}
	})
}

// Workers that were used while tasks were slow become idle once tasks are
// quick.
func TestQuickTasksSendSurplusWorkersToRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 8})
		s.pace.procs = 2
		slow, later := make(chan struct{}), make(chan struct{})
		for range 6 {
			s.Submit(Item{Task: taskFunc(func(context.Context) { <-slow })})
		}
		synctest.Wait()
		for range 6 {
			s.Submit(Item{Task: taskFunc(func(context.Context) { <-later })})
		}
		synctest.Wait()
		if got := s.Stats(); got.Running != 8 {
			t.Errorf("Stats = %+v, want 8 running", got)
		}
		s.mu.Lock()
		s.pace.quick = true
		s.mu.Unlock()
		close(slow)
		synctest.Wait()
		if got := s.Stats(); got.Running != 2 || got.Workers != 8 {
			t.Errorf("Stats = %+v, want 2 running", got)
		}
		close(later)
		drain(t, s)
	})
}

func TestPaceMeasurement(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		finished int
		quick    bool
	}{{0, false}, {100, false}, {101, true}} { // 2 processors, 1 ms, 20 µs each
		synctest.Test(t, func(t *testing.T) {
			p := pace{procs: 2}
			done := make(chan struct{})
			p.measure(func() { close(done) })
			p.finished = tt.finished
			<-done
			p.result()
			if p.quick != tt.quick {
				t.Errorf("%d finished: quick = %v", tt.finished, p.quick)
			}
			p.measure(nil)
			if p.finished != 0 || !p.armed {
				t.Error("no second measurement")
			}
			p.stop()
		})
	}
}
