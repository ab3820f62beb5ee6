package session

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// otherIDs are the subscription identifiers of a message except the first.
type otherIDs [wire.KeptSubscriptionIDs - 1]uint32

// identify copies the subscription identifiers of a packet. room is memory for
// others, or nil.
func (m *Inbound) identify(p *wire.Properties, room *otherIDs) {
	m.otherIDs, m.firstID = nil, p.SubscriptionIDs[0]
	if m.ids = uint8(min(p.SubscriptionIDCount, wire.KeptSubscriptionIDs+1)); m.ids > 1 {
		if m.otherIDs = room; room == nil {
			m.otherIDs = new(otherIDs)
		}
		copy(m.otherIDs[:], p.SubscriptionIDs[1:])
	}
}

// Through reports whether the message matched the subscription with this
// identifier. Without identifiers, as on MQTT 3.1.1, any matching subscription
// is possible, and it returns true.
func (m *Inbound) Through(id uint32) bool {
	return m.ids == 0 || m.firstID == id || m.ids > 1 && m.ThroughAny(func(has uint32) bool { return has == id })
}

// Identified reports whether the message has subscription identifiers.
func (m *Inbound) Identified() bool { return m.ids > 0 }

// ThroughAny reports whether known returns true for one of the subscription
// identifiers, and true if there are more of them than are kept.
func (m *Inbound) ThroughAny(known func(id uint32) bool) bool {
	if m.ids == 0 {
		return false
	}
	n := min(int(m.ids), wire.KeptSubscriptionIDs)
	return m.ids > wire.KeptSubscriptionIDs || known(m.firstID) || n > 1 && slices.ContainsFunc(m.otherIDs[:n-1], known)
}

// Anonymize removes the subscription identifiers: the message may then belong
// to any filter that matches. Call it before the message is shared.
func (m *Inbound) Anonymize() { m.ids = 0 }
