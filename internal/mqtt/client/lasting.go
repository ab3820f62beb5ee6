package client

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// lasting is what outlives a change of the settings: it goes from a client to the one
// that takes its place.
type lasting struct {
	names  names
	scopes scopes

	duplicates, withoutID atomic.Int64
	deletions             atomic.Int64 // empty messages that no handler was called for
	contradictions        contradictions

	unnamed sync.Once // the log tells that nothing is kept without a client id
}

// health adds what messages were found to be.
func (l *lasting) health(h *event.Health) {
	h.Duplicates, h.WithoutID, h.Deletions = l.duplicates.Load(), l.withoutID.Load(), l.deletions.Load()
	h.IDMismatches, h.KeyMismatches = l.contradictions.ids.Load(), l.contradictions.keys.Load()
}

// names are the filters and operations that were subscribed to.
type names struct {
	mu  sync.Mutex
	all map[string]struct{}
}

func (n *names) add(all ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = make(map[string]struct{})
	}
	for _, name := range all {
		n.all[name] = struct{}{}
	}
}

// warnUnknown logs which keys of the configuration are about no subscription.
func (n *names) warnUnknown(p *policies, log Logger) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.by)) {
		if _, ok := n.all[name]; !ok {
			log.Warnf("mqtt: subscriber.subscriptions[%q] matches no subscription: want a topic filter or an operation", name)
		}
	}
}
