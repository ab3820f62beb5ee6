package bridge

import (
	"context"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

var _ event.Subscriptions = (*Broker)(nil)

// grants know how the subscriptions stand, over all clients that a broker has.
type grants struct {
	mu       sync.Mutex
	now      event.Granted
	watchers map[*watcher]struct{}
}

// note is told by the client, one at a time. It waits for nobody.
func (g *grants) note(fresh, all bool) {
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

// Granted implements [event.Subscriptions].
func (b *Broker) Granted() event.Granted {
	b.grants.mu.Lock()
	defer b.grants.mu.Unlock()
	return b.grants.now
}

// WatchGranted implements [event.Subscriptions].
func (b *Broker) WatchGranted(f func(event.Granted)) (stop func()) {
	w := &watcher{broker: b, f: f}
	g := &b.grants
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

// ConfirmGranted implements [event.Subscriptions].
func (b *Broker) ConfirmGranted(ctx context.Context) error {
	if ctx == nil {
		return badRequest("connect", "", "context is nil")
	}
	s := b.state()
	if s.err != nil {
		return s.err
	}
	return client.ErrorOf("connect", "", s.client.Confirm(ctx))
}

// Subscribes implements [event.Subscriptions].
func (b *Broker) Subscribes(topic string) bool {
	s := b.state()
	return s.err == nil && s.client.Subscribes(topic)
}
