package broker

import (
	"slices"
	"strings"
)

// subscription is one filter of one session.
type subscription struct {
	request
	session *session
	ids     []uint32 // its subscription identifier, if any
	group   *group   // nil if not shared
}

// maxRoutes bounds the memory for topics that were published to.
const maxRoutes = 10_000

// route is who gets the messages of a topic, as long as no subscription
// changes.
type route struct {
	topic  string
	direct [][]*subscription // by session
	groups []*group
}

// lookup finds the route of a topic.
func (b *Broker) lookup(topic []byte) *route {
	if r := b.routes[string(topic)]; r != nil {
		return r
	}
	if len(b.routes) >= maxRoutes {
		clear(b.routes)
	}
	r := &route{topic: string(topic)}
	at := make(map[*session]int)
	add := func(sub *subscription) {
		if sub.group != nil {
			if !slices.Contains(r.groups, sub.group) {
				r.groups = append(r.groups, sub.group)
			}
			return
		}
		i, known := at[sub.session]
		if !known {
			i = len(r.direct)
			at[sub.session] = i
			r.direct = append(r.direct, nil)
		}
		r.direct[i] = append(r.direct[i], sub)
	}
	for _, sub := range b.exact[r.topic] {
		add(sub)
	}
	b.wild.match(r.topic, add)
	b.routes[r.topic] = r
	return r
}

// publish gives a message to all who subscribed, and reports whether there were
// any.
func (b *Broker) publish(m *message) bool {
	r := b.lookup([]byte(m.topic))
	m.topic = r.topic
	b.counts.Published++
	if m.retain {
		b.retain(m)
	}
	for _, subs := range r.direct {
		b.direct(m, subs)
	}
	for _, g := range r.groups {
		g.deliver(m)
	}
	return len(r.direct)+len(r.groups) > 0
}

// direct delivers to a session whose subscriptions match: one copy at the
// highest QoS [MQTT-3.3.5-1], or one for each subscription.
func (b *Broker) direct(m *message, subs []*subscription) {
	if len(subs) == 1 || b.options.copies {
		for _, sub := range subs {
			if sub.noLocal && m.from == sub.session.id { // [MQTT-3.8.3-3]
				continue
			}
			sub.session.deliver(m, sub, delivery{qos: sub.qos, ids: sub.ids, retain: m.retain && sub.retainAsPublished})
		}
		return
	}
	var d delivery
	matched := false
	for _, sub := range subs {
		if sub.noLocal && m.from == sub.session.id {
			continue
		}
		matched = true
		d.qos = max(d.qos, sub.qos)
		d.retain = d.retain || (m.retain && sub.retainAsPublished)
		d.ids = append(d.ids, sub.ids...)
	}
	if matched {
		subs[0].session.deliver(m, nil, d)
	}
}

// join adds or replaces a subscription and reports whether it is new.
func (b *Broker) join(s *session, r request, id uint32) (sub *subscription, fresh bool) {
	old := s.subs[r.filter]
	sub = &subscription{request: r, session: s}
	if id != 0 {
		sub.ids = []uint32{id}
	}
	if old != nil {
		sub.group = old.group
		b.replace(old, sub)
	} else {
		b.insert(sub)
	}
	s.subs[r.filter] = sub
	sub.note()
	clear(b.routes)
	b.changed()
	return sub, old == nil
}

func (b *Broker) insert(sub *subscription) {
	if sub.share != "" {
		g := b.groups[sub.filter]
		if g == nil {
			g = &group{b: b, filter: sub.filter}
			b.groups[sub.filter] = g
		}
		sub.group = g
		g.members = append(g.members, sub)
	}
	if wildcard(sub.plain) {
		place := b.wild.at(sub.plain)
		place.subs = append(place.subs, sub)
	} else {
		b.exact[sub.plain] = append(b.exact[sub.plain], sub)
	}
}

func (b *Broker) replace(old, sub *subscription) {
	swap := func(list []*subscription) {
		if i := slices.Index(list, old); i >= 0 {
			list[i] = sub
		}
	}
	if sub.group != nil {
		swap(sub.group.members)
	}
	if wildcard(sub.plain) {
		swap(b.wild.at(sub.plain).subs)
	} else {
		swap(b.exact[sub.plain])
	}
}

// leave removes a subscription.
func (b *Broker) leave(sub *subscription) {
	if g := sub.group; g != nil {
		if g.members = without(g.members, sub); len(g.members) == 0 {
			delete(b.groups, g.filter)
		}
	}
	if wildcard(sub.plain) {
		b.wild.remove(sub.plain, sub)
	} else if b.exact[sub.plain] = without(b.exact[sub.plain], sub); len(b.exact[sub.plain]) == 0 {
		delete(b.exact, sub.plain)
	}
	delete(sub.session.subs, sub.filter)
	sub.noteLeave()
	clear(b.routes)
	b.changed()
}

func without(list []*subscription, sub *subscription) []*subscription {
	return slices.DeleteFunc(list, func(x *subscription) bool { return x == sub })
}

func wildcard(filter string) bool { return strings.ContainsAny(filter, "+#") }
