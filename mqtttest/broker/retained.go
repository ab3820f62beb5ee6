package broker

import (
	"slices"
	"strings"
)

// retain keeps a message for later subscribers, or forgets the one kept when
// the payload is empty [MQTT-3.3.1-6].
func (b *Broker) retain(m *message) {
	switch {
	case len(m.payload) == 0:
		b.forgetRetained(m.topic)
	case b.retainable(m.topic, m.size()):
		b.setRetained(m)
	default:
		b.counts.RetainedFull++
		return
	}
	b.noteRetained(m)
	b.changed()
}

func (b *Broker) setRetained(m *message) {
	b.forgetRetained(m.topic)
	b.retained[m.topic] = m
	b.retainedBytes += m.size()
}

func (b *Broker) forgetRetained(topic string) {
	if m := b.retained[topic]; m != nil {
		b.retainedBytes -= m.size()
		delete(b.retained, topic)
	}
}

// retainable reports whether there is room for a retained message.
func (b *Broker) retainable(topic string, size int) bool {
	count, bytes := len(b.retained), b.retainedBytes+size
	if m := b.retained[topic]; m != nil {
		count, bytes = count-1, bytes-m.size()
	}
	return count < b.options.maxRetained && bytes <= b.options.maxRetainedBytes
}

// sendRetained gives a new subscription what is retained for it, by topic.
func (b *Broker) sendRetained(sub *subscription, fresh bool) {
	if sub.group != nil || sub.retainHandling == 2 || (sub.retainHandling == 1 && !fresh) {
		return
	}
	b.sendSys(sub)
	for _, topic := range b.retainedTopics(sub.plain) {
		m := b.retained[topic]
		if m.expired() {
			b.forgetRetained(topic)
			continue
		}
		if sub.noLocal && m.from == sub.session.id {
			continue
		}
		sub.session.deliver(m, sub, delivery{qos: sub.qos, ids: sub.ids, retain: true})
	}
}

// retainedTopics returns those that a filter matches, sorted.
func (b *Broker) retainedTopics(filter string) (topics []string) {
	if !wildcard(filter) {
		if b.retained[filter] != nil {
			topics = append(topics, filter)
		}
		return topics
	}
	levels := strings.Split(filter, "/")
	for topic := range b.retained {
		if matches(levels, topic) {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	return topics
}
