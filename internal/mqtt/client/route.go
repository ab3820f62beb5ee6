package client

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// checkSequence looks for a sequence number among the user properties of a message, in the
// order of arrival. Shared subscriptions are left out, because other messages of the topic
// go to other members of the group.
func (at *subscriber) checkSequence(m *session.Inbound, matched []*Subscription) {
	if m.Retain || m.Properties == nil || len(m.Properties.User) == 0 { // a retained message tells nothing about those after it
		return
	}
	for _, s := range matched {
		if at.wants(s, m) && !s.shared() {
			at.run.client.lasting.gapsIn(m.Topic, m.Properties.User)
			return
		}
	}
}

// match returns the subscriptions whose filter matches, and the number of them that the
// message is for. Subscription identifiers tell copies of a message apart. They do not
// authorise: the broker writes the identifier of the filter that existed when the message
// was published, and where none of them is ours the topic decides, as on MQTT 3.1.1.
func (at *subscriber) match(m *session.Inbound) (matched []*Subscription, n int) {
	matched = at.run.client.router.Match(m.Topic)
	n = at.count(matched, m)
	if n == 0 && len(matched) > 0 && m.Identified() && !at.run.client.knows(m) {
		m.Anonymize()
		n = at.count(matched, m)
	}
	return matched, n
}

func (at *subscriber) count(matched []*Subscription, m *session.Inbound) (n int) {
	for _, s := range matched {
		if at.wants(s, m) {
			n++
		}
	}
	return n
}

// matches reports whether a subscription takes the message: one of this session or one that
// has moved to another session.
func (at *subscriber) matches(m *session.Inbound) bool {
	matched, n := at.match(m)
	return n > 0 || slices.ContainsFunc(matched, func(s *Subscription) bool {
		return s.Session != at.name && m.Through(s.id)
	})
}

// route makes the deliveries of a message to the n subscriptions that take it, and appends
// those for the scheduler to items. Messages for batches are added to later instead. A
// subscription that ignores the message is done with it at once. first is memory for one
// delivery, or nil.
func (at *subscriber) route(m *session.Inbound, matched []*Subscription, n int, items []delivery.Item, later *toBatchers, first *Delivery) []delivery.Item {
	at.checkSequence(m, matched)
	m.Entry().Share(n)
	topicKey := at.sched.Key(m.Topic)
	for _, s := range matched {
		if !at.wants(s, m) {
			continue
		}
		if s.ignores(m) {
			at.ignore(m)
			continue
		}
		key, d, origin := topicKey, first, topicKey
		if s.levels > 0 {
			origin = at.origin(s, m)
		}
		if first = nil; d == nil {
			d = new(Delivery)
		}
		key, d.key = at.order(s, m, key)
		task := s.deliver(d, m)
		if s.batch != nil {
			s.batch.add(d, key)
			later.add(origin, m.Size)
			continue
		}
		items = append(items, delivery.Item{Task: task, Lane: s.lane, Key: key, Origin: origin, Shares: s.levels > 0, Size: m.Size, Must: true})
	}
	return items
}

// ignore counts a message that its subscription ignores.
func (at *subscriber) ignore(m *session.Inbound) {
	at.run.client.counts.retainedIgnored.Add(1)
	m.Done()
}

// order returns the order that a message belongs to, and its name; "" means that of the
// topic, or no order.
func (at *subscriber) order(s *Subscription, m *session.Inbound, byTopic uint64) (key uint64, name string) {
	switch {
	case s.OrderingKey != nil:
		return at.orderingKey(s, m, byTopic)
	case s.Order == nil:
		return byTopic, ""
	}
	if name = s.Order(m); name == "" {
		return byTopic, ""
	}
	return at.sched.Key(name), name
}

// orderingKey calls the subscription's function. If it panics or ends its goroutine, the
// message is ordered by its topic.
func (at *subscriber) orderingKey(s *Subscription, m *session.Inbound, byTopic uint64) (key uint64, name string) {
	key, name = byTopic, m.Topic
	at.run.client.calls.apart(func() {
		if name = s.OrderingKey(m); name == "" {
			key = 0
		} else {
			key = at.sched.Key(name)
		}
	})
	return key, name
}

// takes reports whether a message of this session is for s, whose filter matches.
func (at *subscriber) wants(s *Subscription, m *session.Inbound) bool {
	return s.Session == at.name && m.Through(s.id)
}

// origin returns the origin of a message, which has a share of the queue, as a key of the
// scheduler: the part of its topic that a device cannot choose.
func (at *subscriber) origin(s *Subscription, m *session.Inbound) uint64 {
	return at.sched.Key(topic.Guarded(m.Topic, s.levels))
}

// keyOf returns the ordering key of a delivery in the scheduler; 0 means no order.
func (at *subscriber) keyOf(d *Delivery) uint64 {
	if name := d.Order(); name != "" {
		return at.sched.Key(name)
	}
	return 0
}
