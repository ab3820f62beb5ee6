package client

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// arrived looks for the number of a message among its user properties, in the order of
// arrival. One of a shared subscription is left out: others of
// its topic go to other members.
func (at *subscriber) arrived(m *session.Inbound, matched []*Subscription) {
	if m.Properties == nil || len(m.Properties.User) == 0 {
		return
	}
	for _, s := range matched {
		if at.takes(s, m) && !s.shared() {
			at.run.client.lasting.arrived(m)
			return
		}
	}
}

// match returns the subscriptions whose filter matches; n of them, those that
// the session takes the message for, are meant. A subscription identifier tells
// copies apart. It does not say who may have the message: the broker writes that
// of the filter that there was when it was published, and where none of them is
// ours the topic decides, as on MQTT 3.1.1.
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
		if at.takes(s, m) {
			n++
		}
	}
	return n
}

// matches reports whether a subscription takes the message, of this session or
// of one that its filter has moved to.
func (at *subscriber) matches(m *session.Inbound) bool {
	matched, n := at.match(m)
	return n > 0 || slices.ContainsFunc(matched, func(s *Subscription) bool {
		return s.Session != at.name && m.Through(s.id)
	})
}

// route makes the deliveries of a message to the n subscriptions that take it,
// and adds what goes to the scheduler to items; first is memory for one of them,
// or nil. What goes to batches is counted in apart. With those that ignore it the
// message is done.
func (at *subscriber) route(m *session.Inbound, matched []*Subscription, n int, items []delivery.Item, apart *apart, first *Delivery) []delivery.Item {
	at.arrived(m, matched)
	done := delivery.Join(n, doner(m))
	topicKey := at.sched.Key(m.Topic)
	for _, s := range matched {
		if !at.takes(s, m) {
			continue
		}
		if s.ignores(m) {
			at.ignore(done)
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
		task := s.deliver(d, m, done)
		if s.batch != nil {
			s.batch.add(d, key)
			apart.add(origin, m.Size)
			continue
		}
		items = append(items, delivery.Item{Task: task, Lane: s.lane, Key: key, Origin: origin, Shares: s.levels > 0, Size: m.Size, Must: true})
	}
	return items
}

// ignore counts a message that its subscription has no use for.
func (at *subscriber) ignore(done delivery.Doner) {
	at.run.client.counts.retainedIgnored.Add(1)
	done.Done()
}

// order returns the order that a message belongs to, and its name; "" is the topic's,
// or none.
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

// orderingKey asks the subscription; a panic leaves the order to the topic.
func (at *subscriber) orderingKey(s *Subscription, m *session.Inbound, byTopic uint64) (key uint64, name string) {
	key, name = byTopic, m.Topic
	at.run.client.calls.call(func() {
		if name = s.OrderingKey(m); name == "" {
			key = 0
		} else {
			key = at.sched.Key(name)
		}
	})
	return key, name
}

// takes reports whether a message of this session is for s, whose filter matches.
func (at *subscriber) takes(s *Subscription, m *session.Inbound) bool {
	return s.Session == at.name && m.Through(s.id)
}

// origin returns whose share of the queue a message takes, as a key of the scheduler:
// that of the part of its topic which a device cannot choose.
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
