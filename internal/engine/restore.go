package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// owner names who holds the parked messages of a subscription: this client, and
// of several handlers on one filter which. The client's lock is held.
func (c *Client) owner(s *Subscription) string {
	i := slices.Index(c.same[s.Filter], s)
	if i < 0 {
		i = len(c.same[s.Filter]) // is about to be registered
	}
	return c.ownerAt(i)
}

func (c *Client) ownerAt(i int) string {
	if i == 0 {
		return c.cfg.ClientID
	}
	return fmt.Sprintf("%s#%d", c.cfg.ClientID, i+1)
}

// restore reads back what earlier runs parked. Until it has, nothing is
// handled: a message may belong behind a parked one.
func (r *run) restore(ctx context.Context) error {
	r.restoring.Lock()
	defer r.restoring.Unlock()
	all := slices.DeleteFunc(r.allLots(), func(l *lot) bool { return !l.loading.Load() })
	if len(all) == 0 {
		return nil
	}
	byOwner := map[string]map[string]*lot{r.client.ownerAt(0): {}}
	for _, l := range all {
		if byOwner[l.owner] == nil {
			byOwner[l.owner] = make(map[string]*lot)
		}
		byOwner[l.owner][l.sub.Filter] = l
	}
	gone := r.client.ownerAt(len(byOwner)) // of a handler that there was
	byOwner[gone] = nil
	for _, owner := range slices.Sorted(maps.Keys(byOwner)) {
		if err := r.readBack(ctx, deadletter.Query{Owner: owner}, byOwner[owner]); err != nil {
			return err
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
	if err := r.readBack(ctx, q, map[string]*lot{l.sub.Filter: l}); err != nil {
		return err
	}
	l.loaded()
	return nil
}

func (r *run) readBack(ctx context.Context, q deadletter.Query, byFilter map[string]*lot) error {
	q.State = deadletter.Parked
	left, found := make(map[string]int), 0
	for {
		page, err := r.client.store.List(ctx, q)
		if err != nil {
			return &Error{Op: "connect", Reason: session.ReasonNotConnected, Cause: fmt.Errorf("dead-letter store: reading parked messages: %w", err)}
		}
		if len(page) == 0 {
			break
		}
		for _, kept := range page {
			q.After = kept.ID
			r.client.ids.After(kept.ID)
			if l := byFilter[kept.Filter]; l != nil {
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
	return nil
}
