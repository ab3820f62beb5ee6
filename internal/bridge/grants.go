package bridge

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

var _ event.Subscriptions = (*Broker)(nil)

// grants tell how the subscriptions stand, over all clients that a broker has.
type grants struct {
	mu       sync.Mutex
	now      event.Granted
	last     int
	watchers map[int]func(event.Granted)
}

// note is told by the client, one at a time.
func (g *grants) note(fresh, all bool) {
	g.mu.Lock()
	defer g.mu.Unlock() // also while telling: the order counts
	next := event.Granted{Session: g.now.Session, All: all}
	if fresh || all && next.Session == 0 {
		next.Session++
	}
	if next == g.now {
		return
	}
	g.now = next
	for _, id := range slices.Sorted(maps.Keys(g.watchers)) {
		g.watchers[id](next)
	}
}

// WatchGranted implements [event.Subscriptions].
func (b *Broker) WatchGranted(f func(event.Granted)) (stop func()) {
	g := &b.grants
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watchers == nil {
		g.watchers = make(map[int]func(event.Granted))
	}
	g.last++
	id := g.last
	g.watchers[id] = f
	f(g.now)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.watchers, id)
	}
}

// ConfirmGranted implements [event.Subscriptions].
func (b *Broker) ConfirmGranted(ctx context.Context) error {
	if ctx == nil {
		return badRequest("connect", "", "context is nil")
	}
	s := b.state()
	if s.err != nil {
		return s.err
	}
	return public("connect", "", s.client.Confirm(ctx))
}

// Subscribes implements [event.Subscriptions].
func (b *Broker) Subscribes(topic string) bool {
	s := b.state()
	return s.err == nil && s.client.Subscribes(topic)
}
