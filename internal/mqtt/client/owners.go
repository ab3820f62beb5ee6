package client

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
)

// owner names the one that holds the parked messages of a subscription. The client's
// lock is held.
func (t *subscriptions) owner(s *Subscription) string {
	all := t.same[s.Filter]
	place := slices.Index(all, s)
	if place < 0 {
		// Is about to be registered. The places of those that were taken back are
		// their heirs'.
		for place = len(all); slices.ContainsFunc(all, func(x *Subscription) bool { return x.backlog.Has(t.ownerAt(place)) }); {
			place++
		}
	}
	return t.ownerAt(place)
}

func (t *subscriptions) ownerAt(place int) string { return parking.Owner(t.cfg.ClientID, place) }

// heir is the backlog that goes on with what another one parked whose handler was
// taken back: to replace a handler, the new one is registered first. It is nil
// when nothing is parked, or there is no other handler on the filter. The lock is
// held.
func (t *subscriptions) heir(s *Subscription) *parking.Backlog {
	if s.backlog.Empty() {
		return nil
	}
	for _, other := range t.same[s.Filter] {
		if other.backlog != nil {
			other.backlog.Inherit(s.backlog.Owners()...)
			return other.backlog
		}
	}
	return nil
}
