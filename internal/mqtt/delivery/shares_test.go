package delivery

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// An origin whose tasks hang has all workers except an eighth, and the same
// part of a lane's limit, however many keys it uses. Other origins run beside
// it, and all of its own tasks run in the end.
func TestWorkersOfAnOrigin(t *testing.T) {
	t.Parallel()
	const heavy, other = 1, 2
	for _, tt := range []struct {
		workers, limit, want int
		shares, mayOthers    bool
	}{
		{16, 0, 14, true, true},
		{8, 0, 7, true, true},
		{2, 0, 1, true, true},
		{16, 4, 3, true, true},
		{16, 32, 14, true, true},
		{1, 0, 1, true, false},
		{16, 1, 1, true, false},
		{16, 0, 16, false, false},
	} {
		t.Run(fmt.Sprint(tt), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScheduler(t, SchedulerOptions{Workers: tt.workers})
				lane, free := s.NewLane(tt.limit), make(chan struct{})
				var mu sync.Mutex
				var running, ran, others int
				for key := range uint64(100) {
					s.Submit(Item{Lane: lane, Key: key + 1, Origin: heavy, Shares: tt.shares, Task: taskFunc(func(context.Context) {
						mu.Lock()
						running++
						mu.Unlock()
						<-free
						mu.Lock()
						ran++
						mu.Unlock()
					})})
				}
				for key := range uint64(10) {
					s.Submit(Item{Lane: lane, Key: 1000 + key, Origin: other, Shares: tt.shares, Task: taskFunc(func(context.Context) {
						mu.Lock()
						others++
						mu.Unlock()
					})})
				}
				time.Sleep(time.Second)
				synctest.Wait()
				mu.Lock()
				if running != tt.want || tt.mayOthers != (others == 10) {
					t.Errorf("%d of one origin run, want %d; %d of another ran", running, tt.want, others)
				}
				mu.Unlock()
				close(free)
				drain(t, s)
				if ran != 100 || others != 10 {
					t.Errorf("%d and %d ran", ran, others)
				}
				if len(s.shares.of)+len(lane.shares.of) != 0 {
					t.Errorf("%d and %d origins are left", len(s.shares.of), len(lane.shares.of))
				}
			})
		})
	}
}

// A key of another lane continues in place of one whose lane has no worker for
// it.
func TestShareIsHandedToAnotherLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScheduler(t, SchedulerOptions{Workers: 4})
		narrow, wide := s.NewLane(2), s.NewLane(0) // an origin may have one worker of narrow and three overall
		one, two, hang := make(chan struct{}), make(chan struct{}), make(chan struct{})
		ran := make(map[uint64]bool)
		var mu sync.Mutex
		submit := func(lane *Lane, key uint64, until chan struct{}) {
			s.Submit(Item{Lane: lane, Key: key, Origin: 1, Shares: true, Task: taskFunc(func(context.Context) {
				<-until
				mu.Lock()
				ran[key] = true
				mu.Unlock()
			})})
		}
		settled := func(f func()) {
			f()
			time.Sleep(time.Second)
			synctest.Wait()
		}
		now := make(chan struct{})
		close(now)
		settled(func() { submit(wide, 1, one); submit(wide, 2, two); submit(wide, 3, hang) })
		settled(func() { submit(narrow, 4, hang); submit(narrow, 5, hang); submit(wide, 6, now) })
		settled(func() { close(one) }) // now 4 runs
		settled(func() { close(two) }) // 5 is next and waits for 4
		if !ran[6] || s.Stats().Running != 2 {
			t.Errorf("%v ran, %d run", ran, s.Stats().Running)
		}
		close(hang)
		drain(t, s)
		if len(ran) != 6 {
			t.Errorf("%v ran", ran)
		}
	})
}

// Few origins with many keys, in lanes with and without limits, some tasks
// repeated after a pause: all tasks run, each key in order, and no limit is
// exceeded.
func TestSharesAtRandom(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			workers := 1 + r.IntN(6)
			s := newScheduler(t, SchedulerOptions{Workers: workers})
			limits := []int{0, 1 + r.IntN(5), 1 + r.IntN(5)}
			lanes := []*Lane{s.NewLane(limits[0]), s.NewLane(limits[1]), s.NewLane(limits[2])}
			type place struct {
				lane int
				key  uint64
			}
			var mu sync.Mutex
			var ran int
			next, submitted := map[place]int{}, map[place]int{}
			inLane, ofAll, ofLane := map[int]int{}, map[uint64]int{}, map[place]int{}
			most := func(of int) int { return of - max(min(1, of-1), of/8) }
			const items = 150
			for range items {
				at := place{r.IntN(3), uint64(r.IntN(12)) + 1}
				origin := uint64(r.IntN(3))*uint64(r.IntN(2)) + 1 // keys have messages of several origins
				of, seq, work := place{at.lane, origin}, submitted[at], time.Duration(r.IntN(5))*time.Millisecond
				again := r.IntN(4) == 0
				submitted[at]++
				s.Submit(Item{Lane: lanes[at.lane], Key: at.key, Origin: origin, Shares: true, Must: true, Task: againFunc(func(context.Context) (time.Duration, bool) {
					mu.Lock()
					inLane[at.lane]++
					ofAll[origin]++
					ofLane[of]++
					limit := limits[at.lane]
					if next[at] != seq || limit > 0 && inLane[at.lane] > limit ||
						ofAll[origin] > most(workers) || limit > 0 && ofLane[of] > most(limit) {
						t.Errorf("seed %d: item %d of %v beside %v, %v, %v", seed, seq, at, inLane, ofAll, ofLane)
					}
					mu.Unlock()
					time.Sleep(work)
					mu.Lock()
					defer mu.Unlock()
					inLane[at.lane]--
					ofAll[origin]--
					ofLane[of]--
					if again {
						again = false
						return work, false
					}
					next[at]++
					ran++
					return 0, true
				})})
				if r.IntN(3) == 0 {
					time.Sleep(time.Duration(r.IntN(3)) * time.Millisecond)
				}
			}
			drain(t, s)
			if ran != items || len(s.shares.of) != 0 {
				t.Errorf("seed %d: %d of %d ran, %d origins are left", seed, ran, items, len(s.shares.of))
			}
		})
	}
}
