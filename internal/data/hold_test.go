package data

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

var errNotReady = errors.New("not ready")

// subscriptions is a fake that reports each change on a goroutine of its own.
type subscriptions struct {
	mu   sync.Mutex
	now  event.SubscriptionState
	last int
	told map[int]func(event.SubscriptionState)
}

func (s *subscriptions) SubscriptionState() event.SubscriptionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *subscriptions) WatchSubscriptions(f func(event.SubscriptionState)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		s.told = make(map[int]func(event.SubscriptionState))
	}
	s.last++
	id := s.last
	s.told[id] = f
	go f(s.now)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.told, id)
	}
}

// set reports a change to all watchers and waits for them. Use it within synctest.
func (s *subscriptions) set(now event.SubscriptionState) {
	s.mu.Lock()
	s.now = now
	for _, f := range s.told {
		go f(now)
	}
	s.mu.Unlock()
	synctest.Wait()
}

func (s *subscriptions) ConfirmSubscriptions(context.Context) error { return errNotReady }

func (s *subscriptions) Subscribes(topic string) bool { return topic == "ours" }

// reports.md A1: a subscription of one session does not count for the next.
func TestHoldIsAskedPerSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, passed := NewHold(), make(chan error, 2)
		for range 2 {
			go func() { passed <- h.Wait(t.Context()) }()
		}
		var seen []event.SubscriptionState
		stop := h.WatchSubscriptions(func(g event.SubscriptionState) { seen = append(seen, g) })
		if h.Subscribes("ours") {
			t.Error("subscribes before anybody said so")
		}
		synctest.Wait()
		never := h.WatchSubscriptions(func(event.SubscriptionState) { t.Error("told after stop") })
		never()
		subs := new(subscriptions)
		h.Until(subs)
		synctest.Wait()
		if len(passed) != 0 {
			t.Error("let go before it is ready")
		}
		subs.set(event.SubscriptionState{Session: 1, Granted: true})
		for range 2 {
			if err := <-passed; err != nil {
				t.Error(err)
			}
		}
		if !h.Subscribes("ours") || h.Subscribes("theirs") || !errors.Is(h.ConfirmSubscriptions(t.Context()), errNotReady) {
			t.Error("does not ask the subscriber")
		}
		subs.set(event.SubscriptionState{Session: 1})
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := h.Wait(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("lets go when the connection is lost: %v", err)
		}
		stop()
		subs.set(event.SubscriptionState{Session: 2, Granted: true})
		if err := h.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if want := []event.SubscriptionState{{}, {Session: 1, Granted: true}, {Session: 1}}; !slices.Equal(seen, want) {
			t.Errorf("told %v, want %v", seen, want)
		}
	})
}

// A watcher may watch and stop within its own call, and a watcher that hangs blocks
// no other.
func TestHoldWithAWatcherThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h, subs, let := NewHold(), new(subscriptions), make(chan struct{})
		for range 2 { // before and after Until
			stop := h.WatchSubscriptions(func(event.SubscriptionState) {
				h.WatchSubscriptions(func(event.SubscriptionState) {})()
				<-let
			})
			defer stop()
			h.Until(subs)
		}
		passed := make(chan error, 1)
		go func() { passed <- h.Wait(t.Context()) }()
		subs.set(event.SubscriptionState{Session: 1, Granted: true})
		if len(passed) != 1 || <-passed != nil {
			t.Error("a watcher that hangs delays Wait")
		}
		close(let)
		synctest.Wait()
	})
}

func TestHoldNothingBack(t *testing.T) {
	t.Parallel()
	h := NewHold()
	h.Until(nil)
	h.Until(new(subscriptions))
	if err := errors.Join(h.Wait(t.Context()), h.ConfirmSubscriptions(t.Context())); err != nil {
		t.Error(err)
	}
	if h.Subscribes("ours") {
		t.Error("the second subscriber counts")
	}
}

func TestHoldOfAProcessThatNeverStarts(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	h := NewHold()
	if err := h.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := h.ConfirmSubscriptions(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
