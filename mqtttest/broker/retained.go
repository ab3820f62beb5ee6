package broker

import (
	"slices"
	"strings"
	"time"
)

// retained are the retained messages. The core's mutex guards them.
type retained struct {
	max, maxBytes int
	byTopic       map[string]*message
	bytes         int       // that count against the limit
	soonest       time.Time // no message expires before; zero: none expires
}

func (r *retained) clear() {
	r.byTopic, r.bytes, r.soonest = make(map[string]*message), 0, time.Time{}
}

// set replaces the message of a topic.
func (r *retained) set(m *message) {
	r.forget(m.topic)
	if !m.expires.IsZero() && (r.soonest.IsZero() || m.expires.Before(r.soonest)) {
		r.soonest = m.expires
	}
	r.byTopic[m.topic] = m
	r.bytes += m.size()
}

func (r *retained) forget(topic string) {
	if m := r.byTopic[topic]; m != nil {
		r.bytes -= m.size()
		delete(r.byTopic, topic)
	}
}

// fits reports whether there is room for a message of that size, after removing expired
// ones.
func (r *retained) fits(topic string, size int) bool {
	return r.hasRoom(topic, size) || (r.sweep() && r.hasRoom(topic, size))
}

// sweep removes expired messages. It returns false if none can have expired.
func (r *retained) sweep() bool {
	if r.soonest.IsZero() || time.Now().Before(r.soonest) {
		return false
	}
	all := r.byTopic
	r.clear()
	for _, m := range all {
		if !m.expired() {
			r.set(m)
		}
	}
	return true
}

func (r *retained) hasRoom(topic string, size int) bool {
	count, bytes := len(r.byTopic), r.bytes+size
	if m := r.byTopic[topic]; m != nil {
		count, bytes = count-1, bytes-m.size()
	}
	return count < r.max && bytes <= r.maxBytes
}

// topics returns the topics that match a filter, sorted.
func (r *retained) topics(filter string) (topics []string) {
	if !wildcard(filter) {
		if r.byTopic[filter] != nil {
			topics = append(topics, filter)
		}
		return topics
	}
	levels := strings.Split(filter, "/")
	for topic := range r.byTopic {
		if matches(levels, topic) {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	return topics
}

// get returns the message of a topic, or nil if there is none or it has expired.
func (r *retained) get(topic string) *message {
	m := r.byTopic[topic]
	if m != nil && m.expired() {
		r.forget(topic)
		return nil
	}
	return m
}
