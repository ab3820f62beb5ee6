package delivery

import (
	"context"
	"testing"
)

// Once half of the limits is used up, an origin may have an eighth of them in
// count and in bytes. Finished and released items no longer count, and other
// origins have shares of their own.
func TestShareOfAnOrigin(t *testing.T) {
	t.Parallel()
	const heavy, other = 1, 2
	for name, tt := range map[string]struct {
		size, until int // size of its items, and how many it may have while it is alone
	}{
		"count": {1, 32},
		"bytes": {100, 16}, // half of 3200
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScheduler(t, SchedulerOptions{Workers: 1, MaxCount: 64, MaxBytes: 3200})
			step := make(chan struct{})
			item := Item{Task: taskFunc(func(context.Context) { <-step }), Key: 1, Origin: heavy, Size: tt.size}
			n := 0
			for ; !s.Over(heavy, tt.size); n++ {
				s.Submit(item)
			}
			if n != tt.until {
				t.Errorf("%d items of one origin, want %d", n, tt.until)
			}
			if s.Over(other, tt.size) || s.Over(other, 3000) {
				t.Error("another has not even one item")
			}
			var held []Held
			for ; !s.Over(other, tt.size); n++ {
				held = append(held, Held{other, tt.size})
				s.Hold(held[len(held)-1])
			}
			if want := max(1, min(8, 400/tt.size)); len(held) != want {
				t.Errorf("%d items of another origin, want %d", len(held), want)
			}
			s.Release(held...)
			if s.Over(other, tt.size) {
				t.Error("released and still counted")
			}
			half := make(chan struct{})
			s.AwaitHalf(tt.size, func() { close(half) })
			for range tt.until/8 + 1 {
				step <- struct{}{}
			}
			<-half
			if s.Over(heavy, tt.size) {
				t.Error("done and still counted")
			}
			close(step)
			drain(t, s)
			if s.origins.of(heavy) != (room{}) || s.origins.of(other) != (room{}) {
				t.Errorf("%v and %v left", s.origins.of(heavy), s.origins.of(other))
			}
		})
	}
}

// Shares do not apply while the queue is hardly larger than the number of
// workers: no message is dropped while a worker is idle.
func TestNoShareBeforeWorkersAreBusy(t *testing.T) {
	t.Parallel()
	for _, queue := range []int{1, 16, 20} {
		s := newScheduler(t, SchedulerOptions{Workers: 16, MaxCount: queue})
		step := make(chan struct{})
		for key := range uint64(16) {
			if s.Over(1, 1) {
				t.Errorf("queue of %d: the share is used up by %d items, with 16 workers", queue, key)
				break
			}
			s.Submit(Item{Task: taskFunc(func(context.Context) { <-step }), Key: key + 1, Origin: 1, Size: 1, Must: true})
		}
		close(step)
		drain(t, s)
	}
}

// Origins that share one of their cells are distinguished by the other.
func TestOriginsThatShareACell(t *testing.T) {
	t.Parallel()
	var o origins
	const a, b = 5 | 6<<32, 5 | 7<<32
	o.add(a, 3, 300)
	if o.of(b) != (room{}) || o.of(a) != (room{3, 300}) {
		t.Errorf("%v and %v", o.of(a), o.of(b))
	}
	o.add(a, -3, -300)
	o.add(0, 1, 1)
	if *o.rows != ([2][originCells]room{}) {
		t.Error("something is left")
	}
}
