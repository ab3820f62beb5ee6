package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// subscriptionName is a filter on one of the sessions.
type subscriptionName struct{ session, filter string }

// knows reports whether one of a message's subscription identifiers belongs to a
// subscription of ours.
func (c *Client) knows(m *session.Inbound) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return m.ThroughAny(func(id uint32) bool { return c.known[id] > 0 })
}

// filterBook is which filters the sessions of a run may have at the broker, also
// from earlier processes: a filter is written down before its SUBSCRIBE is sent,
// and struck out after its UNSUBACK. What is in it and not wanted has vanished
// from the code.
type filterBook struct {
	run   *run
	store deadletter.FilterMemory // nil remembers nothing beyond this process
	turn  chan struct{}           // of who reads or writes the store

	mu     sync.Mutex
	pages  map[string]*filterPage // by client id
	asking map[subscriptionName]int
	told   bool // that the store fails
}

// filterPage is that of one client id.
type filterPage struct {
	filters map[string]bool
	read    bool // from the store
}

// filterTimeout bounds one call of the store: what it remembers is not worth a
// long wait.
const filterTimeout = 5 * time.Second

func (b *filterBook) init(r *run) {
	b.run, b.turn = r, make(chan struct{}, 1)
	b.pages, b.asking = make(map[string]*filterPage), make(map[subscriptionName]int)
	b.store, _ = r.client.store.(deadletter.FilterMemory)
}

// of reports whether the broker keeps the session, and returns its page. The
// mutex is held.
func (b *filterBook) of(at *subscriber) (p *filterPage, kept bool) {
	c := b.run.client
	if !c.cfg.persistent() || c.cfg.ClientID == "" {
		return nil, false
	}
	p = b.pages[at.id]
	if p == nil {
		p = &filterPage{filters: make(map[string]bool), read: b.store == nil}
		if at.name == "" {
			for _, f := range c.cfg.PreviousFilters {
				p.filters[f] = true
			}
		}
		b.pages[at.id] = p
	}
	return p, true
}

// begin writes down what a session is about to subscribe to. A store that fails
// is told, and stops nothing: what it does not know later is not unsubscribed,
// and its messages become dead letters.
func (b *filterBook) begin(ctx context.Context, at *subscriber, filters ...string) (end func()) {
	b.mu.Lock()
	p, kept := b.of(at)
	changed := false
	for _, f := range filters {
		b.asking[subscriptionName{at.name, f}]++
		if kept && !p.filters[f] {
			p.filters[f], changed = true, true
		}
	}
	unread := kept && !p.read
	b.mu.Unlock()
	if changed || unread {
		b.save(ctx, at)
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, f := range filters {
			name := subscriptionName{at.name, f}
			if b.asking[name]--; b.asking[name] <= 0 {
				delete(b.asking, name)
			}
		}
	}
}

// strike forgets filters that the broker does not have any more, but for those
// that are wanted again meanwhile.
func (b *filterBook) strike(ctx context.Context, at *subscriber, filters ...string) {
	wanted := b.run.client.wants(at.name)
	b.mu.Lock()
	p, kept := b.of(at)
	changed := false
	for _, f := range filters {
		if kept && p.filters[f] && !wanted[f] && b.asking[subscriptionName{at.name, f}] == 0 {
			delete(p.filters, f)
			changed = true
		}
	}
	b.mu.Unlock()
	if changed {
		b.save(ctx, at)
	}
}

// vanished lists what the broker may have and nobody wants.
func (b *filterBook) vanished(at *subscriber) (list []string) {
	wanted := b.run.client.wants(at.name)
	b.mu.Lock()
	defer b.mu.Unlock()
	p, kept := b.of(at)
	if !kept {
		return nil
	}
	for f := range p.filters {
		if !wanted[f] && b.asking[subscriptionName{at.name, f}] == 0 {
			list = append(list, f)
		}
	}
	slices.Sort(list)
	return list
}

// save brings the store up to date, once it was read.
func (b *filterBook) save(ctx context.Context, at *subscriber) {
	if b.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(filterTimeout, b.run.client.cfg.StoreTimeout))
	defer cancel()
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return
	}
	err := b.exchange(ctx, at)
	b.mu.Lock()
	first := err != nil && !b.told
	b.told = err != nil
	b.mu.Unlock()
	if first {
		b.run.client.log.Warnf("mqtt: topic filters of %q are not remembered; one that a later version does not have stays subscribed: %v", at.id, err)
	}
}

// exchange reads what earlier processes wrote, once, and writes what is known.
// It has the turn.
func (b *filterBook) exchange(ctx context.Context, at *subscriber) error {
	b.mu.Lock()
	p, kept := b.of(at)
	read := kept && p.read
	b.mu.Unlock()
	if !kept {
		return nil
	}
	var before []string
	if !read {
		var err error
		if before, err = b.store.Filters(ctx, at.id); err != nil {
			return err
		}
	}
	b.mu.Lock()
	p.read = true
	for _, f := range before {
		p.filters[f] = true
	}
	now := slices.Sorted(maps.Keys(p.filters))
	b.mu.Unlock()
	if !read && slices.Equal(now, before) {
		return nil
	}
	return b.store.SetFilters(ctx, at.id, now)
}

// wants are the filters that are registered for one of the sessions.
func (c *Client) wants(name string) map[string]bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make(map[string]bool, len(c.same))
	for f, subs := range c.same {
		if slices.ContainsFunc(subs, func(s *Subscription) bool { return s.Session == name }) {
			all[f] = true
		}
	}
	return all
}
