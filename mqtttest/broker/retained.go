package broker

import (
	"maps"
	"slices"
)

// retain keeps a message for later subscribers, or forgets the one kept when
// the payload is empty [MQTT-3.3.1-6].
func (b *Broker) retain(m *message) {
	b.changed()
	if len(m.payload) == 0 {
		delete(b.retained, m.topic)
		return
	}
	b.retained[m.topic] = m
}

// sendRetained gives a new subscription what is retained for it, by topic.
func (b *Broker) sendRetained(sub *subscription, fresh bool) {
	if sub.group != nil || sub.retainHandling == 2 || (sub.retainHandling == 1 && !fresh) {
		return
	}
	for _, topic := range slices.Sorted(maps.Keys(b.retained)) {
		if !matches(sub.levels, topic) {
			continue
		}
		m := b.retained[topic]
		if m.expired() {
			delete(b.retained, topic)
			continue
		}
		if sub.noLocal && m.from == sub.session.id {
			continue
		}
		sub.session.deliver(m, sub, delivery{qos: sub.qos, ids: sub.ids, retain: true})
	}
}
