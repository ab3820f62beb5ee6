package client

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// subscriptionState is whether the subscriptions are granted. Clients that replace each
// other share it.
type subscriptionState struct {
	mu       sync.Mutex
	now      event.SubscriptionState
	watchers map[*watcher]struct{}
}

// note records the state that the client reports, one call at a time. It does not wait for
// the watchers.
func (g *subscriptionState) note(fresh, all bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := event.SubscriptionState{Session: g.now.Session, Granted: all}
	if fresh || all && next.Session == 0 {
		next.Session++
	}
	if next == g.now {
		return
	}
	g.now = next
	for w := range g.watchers {
		w.notify(next)
	}
}

// SubscriptionState implements [event.Subscriptions]: it returns the current state of the
// subscriptions.
func (l *Lasting) SubscriptionState() event.SubscriptionState {
	l.subscriptionState.mu.Lock()
	defer l.subscriptionState.mu.Unlock()
	return l.subscriptionState.now
}

// WatchSubscriptions implements [event.Subscriptions]: f receives the current state and
// each change, on a goroutine of its own.
func (l *Lasting) WatchSubscriptions(f func(event.SubscriptionState)) (stop func()) {
	w := &watcher{log: l.log, f: f}
	g := &l.subscriptionState
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watchers == nil {
		g.watchers = make(map[*watcher]struct{})
	}
	g.watchers[w] = struct{}{}
	w.notify(g.now)
	return func() {
		g.mu.Lock()
		delete(g.watchers, w)
		g.mu.Unlock()
		w.stop()
	}
}
