package client

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// standing knows whether the subscriptions are granted, over all clients that follow each other.
type standing struct {
	mu       sync.Mutex
	now      event.Granted
	watchers map[*watcher]struct{}
}

// note takes the state of the subscriptions from the client, one call at a time. It does
// not wait for the watchers.
func (g *standing) note(fresh, all bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	next := event.Granted{Session: g.now.Session, All: all}
	if fresh || all && next.Session == 0 {
		next.Session++
	}
	if next == g.now {
		return
	}
	g.now = next
	for w := range g.watchers {
		w.tell(next)
	}
}

// Granted implements [event.Subscriptions]: it returns how the subscriptions stand now.
func (l *Lasting) Granted() event.Granted {
	l.standing.mu.Lock()
	defer l.standing.mu.Unlock()
	return l.standing.now
}

// WatchGranted implements [event.Subscriptions]: f receives how they stand, and each
// change, on a goroutine of its own.
func (l *Lasting) WatchGranted(f func(event.Granted)) (stop func()) {
	w := &watcher{log: l.log, f: f}
	g := &l.standing
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watchers == nil {
		g.watchers = make(map[*watcher]struct{})
	}
	g.watchers[w] = struct{}{}
	w.tell(g.now)
	return func() {
		g.mu.Lock()
		delete(g.watchers, w)
		g.mu.Unlock()
		w.stop()
	}
}
