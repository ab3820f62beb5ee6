package session

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// through are the subscriptions that a message came through, by their identifiers.
type through struct {
	others *otherIDs // behind the first; nil with one or none
	first  uint32
	count  uint8 // how many the message has; one more than are kept stands for all above
}

type otherIDs [wire.KeptSubscriptionIDs - 1]uint32

// take takes over what a packet carries; room is memory for others, or nil.
func (t *through) take(p *wire.Properties, room *otherIDs) {
	*t = through{first: p.SubscriptionIDs[0], count: uint8(min(p.SubscriptionIDCount, wire.KeptSubscriptionIDs+1))}
	if t.count > 1 {
		if t.others = room; room == nil {
			t.others = new(otherIDs)
		}
		copy(t.others[:], p.SubscriptionIDs[1:])
	}
}

// some reports whether f holds for one of those that are kept.
func (t *through) some(f func(id uint32) bool) bool {
	if t.count == 0 {
		return false
	}
	n := min(int(t.count), wire.KeptSubscriptionIDs)
	return f(t.first) || n > 1 && slices.ContainsFunc(t.others[:n-1], f)
}

// more reports whether there are others than those that are kept.
func (t *through) more() bool { return t.count > wire.KeptSubscriptionIDs }

// Through reports whether the message came through the subscription with this
// identifier. Without identifiers, as on MQTT 3.1.1, it may have come through
// any that matches.
func (m *Inbound) Through(id uint32) bool {
	t := &m.through
	return t.count == 0 || t.first == id || t.more() || t.some(func(has uint32) bool { return has == id })
}

// Identified reports whether the message names the subscriptions that it came
// through.
func (m *Inbound) Identified() bool { return m.through.count > 0 }

// ThroughAny reports whether known holds for one of its subscription identifiers.
func (m *Inbound) ThroughAny(known func(id uint32) bool) bool {
	return m.through.more() || m.through.some(known)
}

// Anonymize forgets the subscription identifiers, before anybody else has the
// message: it may then have come through any filter that matches.
func (m *Inbound) Anonymize() { m.through.count = 0 }
