package parking

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// HandOver passes the parked messages of one backlog, which is closed, to another. If the
// store fails, they are left to the next start.
func (p *Parking) HandOver(ctx context.Context, from, to *Backlog) {
	p.restoring.Lock()
	defer p.restoring.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.StoreTimeout)
	defer cancel()
	to.await(from)
	for _, owner := range from.Owners() {
		q := deadletter.Query{Owner: owner, Filter: to.Filter}
		if _, err := p.readBack(ctx, q, func(string) *Backlog { return to }); err != nil {
			p.Log.Error("mqtt: parked messages are handled again by the next start only", logsafe.KeyOwner, owner, logsafe.KeyFilter, to.Filter, logsafe.KeyError, err)
		}
	}
}

// emptyPlaces is the number of consecutive places without parked messages, behind the last
// handler, after which Restore stops looking.
const emptyPlaces = 8

// Restore reads the messages that earlier runs parked. No message is handled until then,
// because it may belong behind a parked one. Messages of a place that has no handler any
// more are given to the first handler.
func (p *Parking) Restore(ctx context.Context) error {
	p.restoring.Lock()
	defer p.restoring.Unlock()
	all := slices.DeleteFunc(p.all(), func(l *Backlog) bool { return !l.loading.Load() })
	if len(all) == 0 {
		return nil
	}
	byOwner, first := make(map[string]map[string]*Backlog), make(map[string]*Backlog)
	for _, l := range all {
		if byOwner[l.owner] == nil {
			byOwner[l.owner] = make(map[string]*Backlog)
		}
		byOwner[l.owner][l.Filter] = l
		if f := first[l.Filter]; f == nil || len(l.owner) < len(f.owner) || len(l.owner) == len(f.owner) && l.owner < f.owner {
			first[l.Filter] = l
		}
	}
	for i, known, empty := 0, 0, 0; known < len(byOwner) || empty < emptyPlaces; i++ {
		owner := Owner(p.ClientID, i)
		if byOwner[owner] != nil {
			known++
		}
		found, err := p.readBack(ctx, deadletter.Query{Owner: owner}, func(filter string) *Backlog {
			if l := byOwner[owner][filter]; l != nil {
				return l
			}
			first[filter].Inherit(owner)
			return first[filter]
		})
		if err != nil {
			return err
		}
		if empty++; found > 0 {
			empty = 0
		}
	}
	for _, l := range all {
		l.loaded()
	}
	return nil
}

// RestoreOne is Restore for a subscription that was added later; its backlog may be nil.
func (p *Parking) RestoreOne(ctx context.Context, l *Backlog) error {
	if l == nil {
		return nil
	}
	p.restoring.Lock()
	defer p.restoring.Unlock()
	if !l.loading.Load() {
		return nil
	}
	q := deadletter.Query{Owner: l.owner, Filter: l.Filter}
	if _, err := p.readBack(ctx, q, func(string) *Backlog { return l }); err != nil {
		return err
	}
	l.loaded()
	return nil
}

// readBack adds the parked messages to the backlogs of their filters, if of returns one,
// and returns the number of messages.
func (p *Parking) readBack(ctx context.Context, q deadletter.Query, of func(filter string) *Backlog) (n int, err error) {
	q.State = deadletter.Parked
	left, found := make(map[string]int), 0
	for {
		page, err := p.Store.List(ctx, q)
		if err != nil {
			return 0, &event.Error{Op: "connect", Reason: event.ReasonNotConnected, Cause: fmt.Errorf("dead-letter store: reading parked messages: %w", err)}
		}
		if len(page) == 0 {
			break
		}
		for _, kept := range page {
			q.After = kept.ID
			p.totals.ids.After(kept.ID)
			n++
			if l := of(kept.Filter); l != nil {
				l.add(kept, false)
				found++
			} else {
				left[kept.Filter]++
			}
		}
	}
	if found > 0 {
		p.Log.Info("mqtt: parked messages are handled again", logsafe.KeyOwner, q.Owner, logsafe.KeyCount, found)
	}
	for _, filter := range slices.Sorted(maps.Keys(left)) {
		p.Log.Warn("mqtt: messages stay parked until their time is over: nobody subscribes to their filter any more", logsafe.KeyOwner, q.Owner, logsafe.KeyFilter, filter, logsafe.KeyCount, left[filter])
	}
	return n, nil
}
