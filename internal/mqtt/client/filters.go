package client

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// subscriptionName is a filter on one of the sessions.
type subscriptionName struct{ session, filter string }

// filterBook is which filters the sessions of a run may have at the broker, also
// from earlier processes: a filter is written down before its SUBSCRIBE is sent,
// and struck out after its UNSUBACK. What is in it and not wanted has vanished
// from the code.
//
// It also knows which of them were registered after Start. One that was there
// before Start in an earlier process, and is not in this one, has no handler to
// wait for; one that came after Start may come again.
type filterBook struct {
	run   *run
	store deadletter.FilterMemory // nil remembers nothing beyond this process
	turn  chan struct{}           // held while the store is read or written

	mu     sync.Mutex
	pages  map[string]*filterPage // by client id
	asking map[subscriptionName]int
	told   bool            // that the store fails
	hinted map[string]bool // filters that are named as gone, and registered
}

// filterPage is that of one client id.
type filterPage struct {
	filters map[string]bool // and whether they were registered after Start
	late    []string        // the latter ones, as the store has them
	read    bool            // from the store
}

// filterTimeout bounds one call of the store: what it remembers is not worth a
// long wait.
const filterTimeout = 5 * time.Second

// afterStart is behind the client id under which the store has those filters
// that were registered after Start.
const afterStart = " (after start)"

func (b *filterBook) init(r *run) {
	b.run, b.turn = r, make(chan struct{}, 1)
	b.pages, b.asking = make(map[string]*filterPage), make(map[subscriptionName]int)
	b.hinted = make(map[string]bool)
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
				p.filters[f] = false
			}
		}
		b.pages[at.id] = p
	}
	return p, true
}

// begin records the filters that a session is about to subscribe to, and for each
// whether it was registered after Start. A failure of the store is logged and stops
// nothing: a filter that was not recorded is not unsubscribed later, and its messages
// become dead letters.
func (b *filterBook) begin(ctx context.Context, at *subscriber, filters map[string]bool) (end func()) {
	b.mu.Lock()
	p, kept := b.of(at)
	changed := false
	var still []string
	for f, late := range filters {
		if at.name == "" && !b.hinted[f] && slices.Contains(b.run.client.cfg.PreviousFilters, f) {
			b.hinted[f], still = true, append(still, f)
		}
		b.asking[subscriptionName{at.name, f}]++
		if !kept {
			continue
		}
		if was, known := p.filters[f]; !known || was != late {
			p.filters[f], changed = late, true
		}
	}
	unread := kept && !p.read
	b.mu.Unlock()
	for _, f := range still {
		b.run.client.log.Warnf("mqtt: filter %q is named as one of earlier versions (previous_filters) and has a subscription: it stays subscribed; take it out of the list", f)
	}
	if changed || unread {
		b.save(ctx, at)
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for f := range filters {
			name := subscriptionName{at.name, f}
			if b.asking[name]--; b.asking[name] <= 0 {
				delete(b.asking, name)
			}
		}
	}
}

// strike forgets filters that the broker no longer has, except those that are wanted
// again meanwhile.
func (b *filterBook) strike(ctx context.Context, at *subscriber, filters ...string) {
	wanted := b.run.client.wants(at.name)
	b.mu.Lock()
	p, kept := b.of(at)
	changed := false
	for _, f := range filters {
		if !kept || b.needs(at, f, wanted) {
			continue
		}
		if _, known := p.filters[f]; known {
			delete(p.filters, f)
			changed = true
		}
	}
	b.mu.Unlock()
	if changed {
		b.save(ctx, at)
	}
}

// needs reports whether a filter is wanted, or about to be. The mutex is held.
func (b *filterBook) needs(at *subscriber, filter string, wanted map[string]bool) bool {
	_, registered := wanted[filter]
	return registered || b.asking[subscriptionName{at.name, filter}] > 0
}

// vanished lists what the broker may have and nobody wants.
func (b *filterBook) vanished(at *subscriber) []string {
	return b.unwanted(at, func(bool) bool { return true })
}

// gone lists those of the vanished that no version registered after Start: this
// one does not have them any more.
func (b *filterBook) gone(at *subscriber) []string {
	return b.unwanted(at, func(late bool) bool { return !late })
}

func (b *filterBook) unwanted(at *subscriber, which func(late bool) bool) (list []string) {
	wanted := b.run.client.wants(at.name)
	b.mu.Lock()
	defer b.mu.Unlock()
	p, kept := b.of(at)
	if !kept {
		return nil
	}
	for f, late := range p.filters {
		if which(late) && !b.needs(at, f, wanted) {
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
	var before, lateBefore []string
	if !read {
		var err error
		if before, err = b.store.Filters(ctx, at.id); err != nil {
			return err
		}
		if lateBefore, err = b.store.Filters(ctx, at.id+afterStart); err != nil {
			return err
		}
	}
	b.mu.Lock()
	if !read {
		for _, f := range before {
			if _, known := p.filters[f]; !known {
				p.filters[f] = slices.Contains(lateBefore, f)
			}
		}
		p.read, p.late = true, lateBefore
	}
	now, late := p.lists()
	lateBefore = p.late
	b.mu.Unlock()
	// First what came after Start: without it nothing would wait for those.
	if !slices.Equal(late, lateBefore) {
		if err := b.store.SetFilters(ctx, at.id+afterStart, late); err != nil {
			return err
		}
		b.mu.Lock()
		p.late = late
		b.mu.Unlock()
	}
	if !read && slices.Equal(now, before) {
		return nil
	}
	return b.store.SetFilters(ctx, at.id, now)
}

// lists returns all filters, and those that were registered after Start, sorted.
func (p *filterPage) lists() (all, late []string) {
	all = slices.Sorted(maps.Keys(p.filters))
	for _, f := range all {
		if p.filters[f] {
			late = append(late, f)
		}
	}
	return all, late
}
