package client

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// owner names who holds the parked messages of a subscription: this client, and
// of several handlers on one filter which, by its place among them. The client's
// lock is held.
func (c *Client) owner(s *Subscription) string {
	all := c.same[s.Filter]
	i := slices.Index(all, s)
	if i >= 0 {
		return c.ownerAt(i)
	}
	// Is about to be registered. The places of those that were taken back are
	// their heirs'.
	for i = len(all); slices.ContainsFunc(all, func(x *Subscription) bool { return x.lot.has(c.ownerAt(i)) }); {
		i++
	}
	return c.ownerAt(i)
}

func (c *Client) ownerAt(i int) string {
	if i == 0 {
		return c.cfg.ClientID
	}
	return fmt.Sprintf("%s#%d", c.cfg.ClientID, i+1)
}

// heir is the lot that goes on with what another one parked whose handler was
// taken back: to replace a handler, the new one is registered first. It is nil
// when nothing is parked, or there is no other handler on the filter. The lock is
// held.
func (c *Client) heir(s *Subscription) *lot {
	if s.lot == nil || s.lot.count.Load() == 0 && !s.lot.loading.Load() {
		return nil
	}
	for _, other := range c.same[s.Filter] {
		if other.lot != nil {
			other.lot.inherit(s.lot.owners()...)
			return other.lot
		}
	}
	return nil
}

// handOver gives the heir what is parked. A store that fails leaves it to the
// next start.
func (r *run) handOver(ctx context.Context, from, to *lot) {
	r.restoring.Lock()
	defer r.restoring.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.client.cfg.StoreTimeout)
	defer cancel()
	for _, owner := range from.owners() {
		q := deadletter.Query{Owner: owner, Filter: to.sub.Filter}
		if _, err := r.readBack(ctx, q, func(string) *lot { return to }); err != nil {
			r.client.log.Errorf("mqtt: what %q parked of %q is handled again by the next start: %v", owner, to.sub.Filter, err)
		}
	}
}

// emptyPlaces is how many places behind the last handler have nothing parked
// before restore looks no further.
const emptyPlaces = 8

// restore reads back what earlier runs parked. Until it has, nothing is
// handled: a message may belong behind a parked one. What belongs to a place
// that no handler has, since there were more of them, is the first one's.
func (r *run) restore(ctx context.Context) error {
	r.restoring.Lock()
	defer r.restoring.Unlock()
	all := slices.DeleteFunc(r.allLots(), func(l *lot) bool { return !l.loading.Load() })
	if len(all) == 0 {
		return nil
	}
	byOwner, first := make(map[string]map[string]*lot), make(map[string]*lot)
	for _, l := range all {
		if byOwner[l.owner] == nil {
			byOwner[l.owner] = make(map[string]*lot)
		}
		byOwner[l.owner][l.sub.Filter] = l
		if f := first[l.sub.Filter]; f == nil || len(l.owner) < len(f.owner) || len(l.owner) == len(f.owner) && l.owner < f.owner {
			first[l.sub.Filter] = l
		}
	}
	for i, known, empty := 0, 0, 0; known < len(byOwner) || empty < emptyPlaces; i++ {
		owner := r.client.ownerAt(i)
		if byOwner[owner] != nil {
			known++
		}
		found, err := r.readBack(ctx, deadletter.Query{Owner: owner}, func(filter string) *lot {
			if l := byOwner[owner][filter]; l != nil {
				return l
			}
			first[filter].inherit(owner)
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

// restoreOne is restore for a subscription that came later; its lot may be nil.
func (r *run) restoreOne(ctx context.Context, l *lot) error {
	if l == nil {
		return nil
	}
	r.restoring.Lock()
	defer r.restoring.Unlock()
	if !l.loading.Load() {
		return nil
	}
	q := deadletter.Query{Owner: l.owner, Filter: l.sub.Filter}
	if _, err := r.readBack(ctx, q, func(string) *lot { return l }); err != nil {
		return err
	}
	l.loaded()
	return nil
}

// readBack gives what is parked to the lot of its filter, nil where there is
// none, and reports how many messages there are.
func (r *run) readBack(ctx context.Context, q deadletter.Query, of func(filter string) *lot) (n int, err error) {
	q.State = deadletter.Parked
	left, found := make(map[string]int), 0
	for {
		page, err := r.client.store.List(ctx, q)
		if err != nil {
			return 0, &Error{Op: "connect", Reason: session.ReasonNotConnected, Cause: fmt.Errorf("dead-letter store: reading parked messages: %w", err)}
		}
		if len(page) == 0 {
			break
		}
		for _, kept := range page {
			q.After = kept.ID
			r.client.ids.After(kept.ID)
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
		r.client.log.Infof("mqtt: %d parked messages of %q are handled again", found, q.Owner)
	}
	for _, filter := range slices.Sorted(maps.Keys(left)) {
		r.client.log.Warnf("mqtt: %d messages of %q stay parked until their time is over: nobody subscribes to %q any more", left[filter], q.Owner, filter)
	}
	return n, nil
}
