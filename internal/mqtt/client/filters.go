package client

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// subscriptionName identifies a filter on one session.
type subscriptionName struct{ session, filter string }

// filterBook records which filters the sessions of a run may have at the broker, also from
// earlier processes. A filter is recorded before its SUBSCRIBE is sent and removed after
// its UNSUBACK. A recorded filter without a subscription is unused.
//
// It also records which filters were registered after Start. An unused filter that an
// earlier process registered before Start gets no handler in this process; one that was
// registered after Start may get its handler later.
type filterBook struct {
	run       *run
	store     deadletter.FilterMemory // nil: filters of earlier processes are unknown
	storeLock chan struct{}           // locks the store

	mu            sync.Mutex
	pages         map[string]*filterPage // by client id
	asking        map[subscriptionName]int
	failureLogged bool            // the failure of the store was logged
	reported      map[string]bool // previous filters that have a subscription, as logged
}

// filterPage has the filters of one client id.
type filterPage struct {
	filters map[string]bool // whether each was registered after Start
	late    []string        // those registered after Start, as the store has them
	read    bool            // the store was read
}

// filterTimeout bounds one call of the store.
const filterTimeout = 5 * time.Second

// afterStart is appended to the client id under which the store has the filters that were
// registered after Start.
const afterStart = " (after start)"

func (b *filterBook) init(r *run) {
	b.run, b.storeLock = r, make(chan struct{}, 1)
	b.pages, b.asking = make(map[string]*filterPage), make(map[subscriptionName]int)
	b.reported = make(map[string]bool)
	b.store, _ = r.client.store.(deadletter.FilterMemory)
}

// of returns the filters of the session, and reports whether the broker keeps the session.
// The mutex is held.
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

// begin records the filters that a session is about to subscribe to, and for each whether
// it was registered after Start. A failure of the store is only logged: a filter that was
// not recorded is not unsubscribed later, and its messages become dead letters.
func (b *filterBook) begin(ctx context.Context, at *subscriber, filters map[string]bool) (end func()) {
	b.mu.Lock()
	p, kept := b.of(at)
	changed := false
	var still []string
	for f, late := range filters {
		if at.name == "" && !b.reported[f] && slices.Contains(b.run.client.cfg.PreviousFilters, f) {
			b.reported[f], still = true, append(still, f)
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
		b.run.client.log.Warn("mqtt: a topic filter is named as one of earlier versions (previous_filters) and has a subscription: it stays subscribed; take it out of the list", logsafe.KeyFilter, f)
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

// remove removes filters that the broker no longer has, except those that are wanted again
// meanwhile.
func (b *filterBook) remove(ctx context.Context, at *subscriber, filters ...string) {
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

// unused returns the filters that the broker may have and no subscription wants.
func (b *filterBook) unused(at *subscriber) []string {
	return b.unwanted(at, func(bool) bool { return true })
}

// unexpected returns the unused filters that no version registered after Start, so that no
// handler is expected for them.
func (b *filterBook) unexpected(at *subscriber) []string {
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

// save writes the filters to the store, which it reads first if that was not done yet.
func (b *filterBook) save(ctx context.Context, at *subscriber) {
	if b.store == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, min(filterTimeout, b.run.client.cfg.StoreTimeout))
	defer cancel()
	select {
	case b.storeLock <- struct{}{}:
		defer func() { <-b.storeLock }()
	case <-ctx.Done():
		return
	}
	err := b.exchange(ctx, at)
	b.mu.Lock()
	first := err != nil && !b.failureLogged
	b.failureLogged = err != nil
	b.mu.Unlock()
	if first {
		b.run.client.log.Warn("mqtt: topic filters could not be stored; a filter that a later version does not have stays subscribed", logsafe.KeyClientID, at.id, logsafe.KeyError, err)
	}
}

// exchange reads once what earlier processes stored, and writes the current filters. It
// requires the lock of the store.
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
	// The filters registered after Start come first: if only the others were stored,
	// messages would not wait for their handlers.
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
