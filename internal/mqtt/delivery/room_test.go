package delivery

import (
	"context"
	"testing"
	"time"
)

// told returns a function and a channel that receives its calls.
func told() (chan struct{}, func()) {
	ch := make(chan struct{}, 100)
	return ch, func() { ch <- struct{}{} }
}

func await(t *testing.T, ch chan struct{}) {
	t.Helper()
	select {
	case <-ch:
	case <-time.After(10 * time.Second):
		t.Fatal("no call for room")
	}
}

// Items that are queued, running or held elsewhere count, and a waiter is
// called once an eighth of the limit is free.
func TestRoom(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{Workers: 1, MaxCount: 16, MaxBytes: 1600})
	if n, bytes, empty := s.Room(false); n != 16 || bytes != 1600 || !empty {
		t.Errorf("room of %d and %d, empty %t", n, bytes, empty)
	}
	step := make(chan struct{})
	task := taskFunc(func(context.Context) { <-step })
	for range 12 {
		s.Submit(Item{Task: task, Key: 1, Size: 100, Must: true})
	}
	held := []Held{{Size: 25}, {Size: 25}, {Size: 25}, {Size: 25}}
	s.Hold(held...)
	if n, bytes, empty := s.Room(false); n != 0 || bytes != 300 || empty {
		t.Errorf("room of %d and %d, empty %t", n, bytes, empty)
	}
	if n, bytes, _ := s.Room(true); n != 16 || bytes != 1900 {
		t.Errorf("twice: room of %d and %d", n, bytes)
	}
	few, tellFew := told()
	large, tellLarge := told()
	s.AwaitRoom(100, tellFew)
	s.AwaitRoom(1200, tellLarge)
	step <- struct{}{} // 15 left
	if len(few) > 0 {
		t.Error("told too early")
	}
	step <- struct{}{} // 14 left
	await(t, few)
	s.Release(held...)
	for range 6 { // 400 bytes left
		if len(large) > 0 {
			t.Error("told before there is room for as many bytes")
		}
		step <- struct{}{}
	}
	await(t, large)
	now, tellNow := told()
	s.AwaitRoom(100, tellNow)
	if len(now) != 1 {
		t.Error("not told at once")
	}
	close(step)
	drain(t, s)
	if len(few) > 0 || len(large) > 0 {
		t.Error("told twice")
	}
}

// An item that exceeds the limit has room once there is no other, and limits
// below the number of workers leave each worker something to do.
func TestRoomOfSmallBounds(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{Workers: 4, MaxCount: 1, MaxBytes: 100})
	if n, _, _ := s.Room(false); n != 4 {
		t.Errorf("room for %d of 4 workers", n)
	}
	step := make(chan struct{})
	s.Submit(Item{Task: taskFunc(func(context.Context) { <-step }), Size: 10, Must: true})
	ch, tell := told()
	s.AwaitRoom(1000, tell)
	if len(ch) > 0 {
		t.Error("told while something is there")
	}
	close(step)
	await(t, ch)
	drain(t, s)
}

// hundred items exceed the limits of these tests.
var hundred = make([]Held, 100)

// A wait that has no end costs nothing per task.
func TestWaitingForRoomAllocatesNothing(t *testing.T) {
	s := newScheduler(t, SchedulerOptions{Workers: 1, MaxCount: 4})
	s.Hold(hundred...)
	s.AwaitRoom(1, func() { t.Error("told") })
	done := make(chan struct{})
	item := Item{Task: taskFunc(func(context.Context) { done <- struct{}{} }), Key: 1, Must: true}
	items := []Item{item}
	if n := testing.AllocsPerRun(500, func() {
		items[0] = item
		s.Submit(items...)
		<-done
	}); n > 0 {
		t.Errorf("%v allocations for each task", n)
	}
	drain(t, s)
}

// Close drops the waiters.
func TestCloseWhileWaitingForRoom(t *testing.T) {
	t.Parallel()
	s := newScheduler(t, SchedulerOptions{MaxCount: 1})
	s.Hold(hundred...)
	s.AwaitRoom(1, func() { t.Error("told") })
	s.Close()
	s.AwaitRoom(1, func() { t.Error("told after the end") })
	s.Release(hundred...)
}
