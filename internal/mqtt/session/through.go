package session

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// through holds the identifiers of the subscriptions that a message matched.
type through struct {
	others *otherIDs // all identifiers except the first; nil if there is at most one
	first  uint32
	count  uint8 // number of identifiers of the message; one more than can be kept means any larger number
}

type otherIDs [wire.KeptSubscriptionIDs - 1]uint32

// take copies the identifiers of a packet. room is memory for others, or nil.
func (t *through) take(p *wire.Properties, room *otherIDs) {
	*t = through{first: p.SubscriptionIDs[0], count: uint8(min(p.SubscriptionIDCount, wire.KeptSubscriptionIDs+1))}
	if t.count > 1 {
		if t.others = room; room == nil {
			t.others = new(otherIDs)
		}
		copy(t.others[:], p.SubscriptionIDs[1:])
	}
}

// some reports whether f returns true for one of the kept identifiers.
func (t *through) some(f func(id uint32) bool) bool {
	if t.count == 0 {
		return false
	}
	n := min(int(t.count), wire.KeptSubscriptionIDs)
	return f(t.first) || n > 1 && slices.ContainsFunc(t.others[:n-1], f)
}

// more reports whether the message has more identifiers than are kept.
func (t *through) more() bool { return t.count > wire.KeptSubscriptionIDs }

// Through reports whether the message matched the subscription with this
// identifier. Without identifiers, as on MQTT 3.1.1, any matching subscription
// is possible, and it returns true.
func (m *Inbound) Through(id uint32) bool {
	t := &m.through
	return t.count == 0 || t.first == id || t.more() || t.some(func(has uint32) bool { return has == id })
}

// Identified reports whether the message has subscription identifiers.
func (m *Inbound) Identified() bool { return m.through.count > 0 }

// ThroughAny reports whether known returns true for one of the subscription
// identifiers.
func (m *Inbound) ThroughAny(known func(id uint32) bool) bool {
	return m.through.more() || m.through.some(known)
}

// Anonymize removes the subscription identifiers: the message may then belong
// to any filter that matches. Call it before the message is shared.
func (m *Inbound) Anonymize() { m.through.count = 0 }
