package client

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
)

// owner returns the name under which the messages of a subscription are parked. The
// client's lock is held.
func (t *subscriptions) owner(s *Subscription) string {
	all := t.same[s.Filter]
	place := slices.Index(all, s)
	if place < 0 {
		// It is about to be registered. Positions of removed subscriptions belong to their
		// successors.
		for place = len(all); slices.ContainsFunc(all, func(x *Subscription) bool { return x.backlog.Has(t.ownerAt(place)) }); {
			place++
		}
	}
	return t.ownerAt(place)
}

func (t *subscriptions) ownerAt(place int) string { return parking.Owner(t.cfg.ClientID, place) }

// successor returns the backlog that takes over the parked messages of a removed
// subscription: when a handler is replaced, the new one is registered first. Messages that
// the old handler still has, and parks later, go there too. It returns nil when nothing is
// parked or the filter has no other handler. The lock is held.
func (t *subscriptions) successor(s *Subscription) *parking.Backlog {
	for _, other := range t.same[s.Filter] {
		if other.backlog != nil {
			s.backlog.Leave(other.backlog)
			if s.backlog.Empty() {
				return nil
			}
			other.backlog.Inherit(s.backlog.Owners()...)
			return other.backlog
		}
	}
	return nil
}
