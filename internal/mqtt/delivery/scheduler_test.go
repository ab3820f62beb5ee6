package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// taskFunc is a task that is done after one run.
type taskFunc func(ctx context.Context)

func (f taskFunc) Run(ctx context.Context) (time.Duration, bool) { f(ctx); return 0, true }

// againFunc is a task that returns when it is done.
type againFunc func(ctx context.Context) (time.Duration, bool)

func (f againFunc) Run(ctx context.Context) (time.Duration, bool) { return f(ctx) }

func newScheduler(t testing.TB, opts SchedulerOptions) *Scheduler {
	t.Helper()
	s, err := NewScheduler(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func drain(t testing.TB, s *Scheduler) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestSchedulerOptionsNameAllProblems(t *testing.T) {
	t.Parallel()
	_, err := NewScheduler(t.Context(), SchedulerOptions{Workers: -1, MaxCount: -1, MaxBytes: -1, IdleTimeout: -1, Grace: -1})
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{"Workers", "MaxCount", "MaxBytes", "IdleTimeout", "Grace"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

// Tasks of one key run one at a time and in the order of submission, whatever
// else is running.
func TestKeyOrderUnderConcurrency(t *testing.T) {
	t.Parallel()
	const keys, perKey, submitters = 37, 200, 4
	for _, limit := range []int{0, 1, 3} {
		t.Run(fmt.Sprintf("lane limit %d", limit), func(t *testing.T) {
			t.Parallel()
			s := newScheduler(t, SchedulerOptions{Workers: 12})
			lane := s.NewLane(limit)
			var busy [keys]atomic.Int32
			var next [keys]atomic.Int64
			var wrong atomic.Int64
			var wg sync.WaitGroup
			for g := range submitters { // each submitter owns some keys
				wg.Go(func() {
					for seq := range int64(perKey) {
						var batch []Item
						for k := g; k < keys; k += submitters {
							batch = append(batch, Item{Lane: lane, Key: uint64(k + 1), Must: true, Task: taskFunc(func(context.Context) {
								if busy[k].Add(1) != 1 || next[k].Load() != seq {
									wrong.Add(1)
								}
								if rand.IntN(8) == 0 {
									runtime.Gosched()
								}
								next[k].Store(seq + 1)
								busy[k].Add(-1)
							})})
						}
						if n := s.Submit(batch...); n != len(batch) {
							t.Errorf("accepted %d of %d", n, len(batch))
						}
					}
				})
			}
			wg.Wait()
			drain(t, s)
			if n := wrong.Load(); n > 0 {
				t.Errorf("%d tasks ran out of order or beside their key", n)
			}
			for k := range next {
				if n := next[k].Load(); n != perKey {
					t.Errorf("key %d: %d of %d ran", k, n, perKey)
				}
			}
		})
	}
}

func TestLaneLimit(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3, 0} {
		for _, ordered := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d ordered=%v", limit, ordered), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					const workers = 6
					s := newScheduler(t, SchedulerOptions{Workers: workers})
					lane := s.NewLane(limit)
					var now, peak, other int
					var mu sync.Mutex
					for i := range 30 {
						key := uint64(0)
						if ordered {
							key = uint64(i) + 1
						}
						s.Submit(Item{Lane: lane, Key: key, Task: taskFunc(func(context.Context) {
							mu.Lock()
							now++
							peak = max(peak, now)
							mu.Unlock()
							time.Sleep(time.Second)
							mu.Lock()
							now--
							mu.Unlock()
						})})
					}
					s.Submit(Item{Task: taskFunc(func(context.Context) { other++ })})
					time.Sleep(500 * time.Millisecond)
					synctest.Wait()
					want := limit
					if limit == 0 {
						want = workers
					}
					if peak != want {
						t.Errorf("%d at the same time, want %d", peak, want)
					}
					if limit != 0 && other != 1 {
						t.Error("another lane waited for this one")
					}
					drain(t, s)
				})
			})
		}
	}
}

// Key 0 means no order: such items run on any free worker.
func TestUnorderedItemsRunSideBySide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 4})
		start := time.Now()
		for range 8 {
			s.Submit(Item{Task: taskFunc(func(context.Context) { time.Sleep(time.Second) })})
		}
		drain(t, s)
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("8 tasks of 1 s on 4 workers took %v", took)
		}
	})
}

func TestTwelveWorkersOverlapSixtyFourKeys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		run := func(workers int) time.Duration {
			s := newScheduler(t, SchedulerOptions{Workers: workers, MaxCount: 4096})
			start := time.Now()
			for i := range 3072 {
				s.Submit(Item{Key: uint64(i%64) + 1, Task: taskFunc(func(context.Context) { time.Sleep(830 * time.Microsecond) })})
			}
			drain(t, s)
			return time.Since(start)
		}
		one, twelve := run(1), run(12)
		if ratio := float64(one) / float64(twelve); ratio < 11 {
			t.Errorf("12 workers are %.2f x one", ratio)
		}
	})
}

func TestBounds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		opts     SchedulerOptions
		sizes    []int
		accepted int
		bytes    int64
	}{
		{"count", SchedulerOptions{MaxCount: 3}, []int{1, 1, 1, 1, 1}, 3, 3},
		{"bytes", SchedulerOptions{MaxBytes: 100}, []int{60, 41, 40, 1}, 2, 100},
		{"larger than all", SchedulerOptions{MaxBytes: 100}, []int{101, 100}, 1, 100},
		{"none", SchedulerOptions{}, []int{1, 1, 1, 1, 1}, 5, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var refused int
			tt.opts.QueueFull = func(n int) { refused += n }
			s := newScheduler(t, tt.opts)
			gate := make(chan struct{})
			task := taskFunc(func(context.Context) { <-gate })
			var items []Item
			for _, size := range tt.sizes {
				items = append(items, Item{Task: task, Key: 1, Size: size})
			}
			if n := s.Submit(items...); n != tt.accepted {
				t.Errorf("accepted %d, want %d", n, tt.accepted)
			}
			if want := len(tt.sizes) - tt.accepted; refused != want {
				t.Errorf("refused %d, want %d", refused, want)
			}
			kept := 0
			for _, it := range items {
				if it.Task != nil {
					kept++
				}
			}
			if kept != refused {
				t.Errorf("%d items keep their task, %d were refused", kept, refused)
			}
			if got := s.Stats(); got.Bytes != tt.bytes || got.Queued+got.Running != tt.accepted {
				t.Errorf("Stats = %+v", got)
			}
			if n := s.Submit(Item{Task: task, Size: 1000, Must: true}); n != 1 {
				t.Error("an item that must be accepted was refused")
			}
			close(gate)
			drain(t, s)
			if got := s.Stats(); got != (Stats{}) {
				t.Errorf("Stats after drain = %+v", got)
			}
		})
	}
}

func TestSubmitSkipsForeignLanesAndEmptyItems(t *testing.T) {
	t.Parallel()
	s, other := newScheduler(t, SchedulerOptions{}), newScheduler(t, SchedulerOptions{})
	defer s.Close()
	defer other.Close()
	task := taskFunc(func(context.Context) {})
	if n := s.Submit(Item{}, Item{Task: task, Lane: other.NewLane(1)}); n != 0 {
		t.Errorf("accepted %d", n)
	}
}

// A task that asks to be run again holds no worker and pauses only its own key.
func TestAgainPausesTheKeyOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 1})
		lane := s.NewLane(1)
		var ran []string
		runs := 0
		s.Submit(
			Item{Lane: lane, Key: 1, Task: againFunc(func(context.Context) (time.Duration, bool) {
				runs++
				ran = append(ran, fmt.Sprint("a1.", runs))
				return time.Second, runs == 3
			})},
			Item{Lane: lane, Key: 1, Task: taskFunc(func(context.Context) { ran = append(ran, "a2") })},
			Item{Lane: lane, Key: 2, Task: taskFunc(func(context.Context) { ran = append(ran, "b1") })},
		)
		synctest.Wait()
		if got := s.Stats(); got.Paused != 1 || got.Queued != 2 || got.Running != 0 {
			t.Errorf("Stats = %+v", got)
		}
		start := time.Now()
		drain(t, s)
		if want := []string{"a1.1", "b1", "a1.2", "a1.3", "a2"}; !slices.Equal(ran, want) {
			t.Errorf("ran %v, want %v", ran, want)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
	})
}

func TestAgainAtOnceLetsOtherKeysGoFirst(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{Workers: 1})
	var ran []string
	first := true
	s.Submit(
		Item{Key: 1, Task: againFunc(func(context.Context) (time.Duration, bool) {
			ran = append(ran, "a")
			defer func() { first = false }()
			return 0, !first
		})},
		Item{Key: 2, Task: taskFunc(func(context.Context) { ran = append(ran, "b") })},
	)
	drain(t, s)
	if want := []string{"a", "b", "a"}; !slices.Equal(ran, want) {
		t.Errorf("ran %v, want %v", ran, want)
	}
}

func TestIdleWorkersEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 5, IdleTimeout: time.Minute})
		if n := s.Stats().Workers; n != 0 {
			t.Errorf("%d workers before the first item", n)
		}
		for range 5 {
			s.Submit(Item{Task: taskFunc(func(context.Context) { time.Sleep(time.Second) })})
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		if n := s.Stats().Workers; n != 5 {
			t.Errorf("%d workers while idle, want 5", n)
		}
		time.Sleep(32 * time.Second)
		synctest.Wait()
		if n := s.Stats().Workers; n != 0 {
			t.Errorf("%d workers after the idle timeout", n)
		}
		ran := false
		s.Submit(Item{Task: taskFunc(func(context.Context) { ran = true })})
		drain(t, s)
		if !ran {
			t.Error("no worker was started again")
		}
	})
}

// A worker that times out while it is being woken must not lose the wake-up.
func TestIdleTimeoutRacesWithSubmit(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{Workers: 2, IdleTimeout: time.Nanosecond})
	const n = 20_000
	for range n / 10 {
		ran := make(chan struct{}, 10)
		for range 10 {
			s.Submit(Item{Must: true, Task: taskFunc(func(context.Context) { ran <- struct{}{} })})
		}
		for range 10 {
			<-ran
		}
	}
	drain(t, s)
}

func TestTaskThatEndsItsGoroutineIsRunAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 1})
		var ran []int
		s.Submit(
			Item{Key: 1, Task: taskFunc(func(context.Context) {
				ran = append(ran, 1)
				if len(ran) == 1 {
					runtime.Goexit()
				}
			})},
			Item{Key: 1, Task: taskFunc(func(context.Context) { ran = append(ran, 2) })},
		)
		drain(t, s)
		if want := []int{1, 1, 2}; !slices.Equal(ran, want) {
			t.Errorf("ran %v, want %v", ran, want)
		}
	})
}

func TestTasksGetTheValuesButNotTheEndOfTheContext(t *testing.T) {
	t.Parallel()
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	s, err := NewScheduler(ctx, SchedulerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	var value any
	var ended error
	s.Submit(Item{Task: taskFunc(func(ctx context.Context) { value, ended = ctx.Value(key{}), ctx.Err() })})
	drain(t, s)
	if value != "value" || ended != nil {
		t.Errorf("value = %v, err = %v", value, ended)
	}
}

func TestKeyIsStableAndNeverUnordered(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{})
	defer s.Close()
	if again := s.Key("a/b"); s.Key("a/b") != again || again == s.Key("a/c") || s.Key("") == 0 {
		t.Error("keys do not tell names apart")
	}
}

// T7: a handler that submits, and waits for what it submitted, blocks no other
// task.
func TestT7HandlerSubmitsFromInside(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{Workers: 2})
	ran := make(chan struct{})
	s.Submit(Item{Key: 1, Task: taskFunc(func(context.Context) {
		inner := make(chan struct{})
		s.Submit(Item{Key: 2, Task: taskFunc(func(context.Context) { close(inner) })})
		<-inner
		close(ran)
	})})
	<-ran
	drain(t, s)
}

// T8: a flood of QoS 0 messages takes no goroutines or memory beyond the
// limits, and its losses are counted.
func TestT8FloodIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dropped := 0
		s := newScheduler(t, SchedulerOptions{Workers: 4, MaxCount: 100, QueueFull: func(n int) { dropped += n }})
		var now, peak, ran atomic.Int64
		task := taskFunc(func(context.Context) {
			peak.Store(max(peak.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
			ran.Add(1)
		})
		accepted := 0
		for i := range 20_000 {
			accepted += s.Submit(Item{Task: task, Key: uint64(i)})
		}
		synctest.Wait()
		if got := s.Stats(); got.Workers != 4 || got.Queued+got.Running != 100 {
			t.Errorf("Stats = %+v", got)
		}
		drain(t, s)
		if accepted != 100 || dropped != 19_900 || ran.Load() != 100 || peak.Load() != 4 {
			t.Errorf("accepted %d, dropped %d, ran %d, %d at once", accepted, dropped, ran.Load(), peak.Load())
		}
	})
}

// V2: the reader of the connection never waits for a handler.
func TestV2SubmitDoesNotWaitForARunningHandler(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{Workers: 1, MaxCount: 1})
	gate := make(chan struct{})
	l := newPulled(false, nil)
	for i := range 100 {
		e := l.Add(uint16(i), 1)
		s.Submit(Item{Key: 1, Must: true, Task: taskFunc(func(context.Context) { <-gate; e.Done() })})
	}
	if n := l.Retire(); n != 100 {
		t.Errorf("Retire = %d", n)
	}
	close(gate)
	drain(t, s)
}
