package broker

import (
	"math/rand/v2"
	"slices"
	"strings"
)

// subscription is one filter of one session.
type subscription struct {
	request
	session *session
	ids     []uint32 // its subscription identifier, if any
	local   bool     // not known at other nodes yet, see [SpreadAfter]
	group   *group   // nil if not shared
}

// maxRoutes and maxRouteBytes limit the cached topics; a topic with its receivers over
// maxRouteBytes/64 is not cached.
const (
	maxRoutes     = 10_000
	maxRouteBytes = 8 << 20
)

// route is the list of recipients of a topic, valid until a subscription changes.
type route struct {
	topic  string
	direct [][]*subscription // by session
	groups []*group
}

// router finds the receivers of the messages of a topic. The core's mutex guards it.
type router struct {
	options *options
	random  *rand.Rand                 // for [Random]
	exact   map[string][]*subscription // by filter without a wildcard
	wild    tree
	groups  map[string]*group // by filter as written
	routes  map[string]*route // by topic
	cached  int               // bytes of routes
}

func newRouter(o *options) router {
	return router{
		options: o, random: rand.New(rand.NewPCG(o.script.seed, 1)),
		exact: make(map[string][]*subscription), groups: make(map[string]*group), routes: make(map[string]*route),
	}
}

// lookup returns the route of a topic.
func (t *router) lookup(topic []byte) *route {
	if r := t.routes[string(topic)]; r != nil {
		return r
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
	for _, sub := range t.exact[r.topic] {
		add(sub)
	}
	t.wild.match(r.topic, add)
	t.cache(r)
	return r
}

// cache keeps a route for the next message of its topic.
func (t *router) cache(r *route) {
	const perReceiver = 64
	size := perReceiver + len(r.topic) + perReceiver*len(r.groups)
	for _, subs := range r.direct {
		size += perReceiver * len(subs)
	}
	if size > maxRouteBytes/64 {
		return
	}
	if len(t.routes) >= maxRoutes || t.cached+size > maxRouteBytes {
		t.forget()
	}
	t.routes[r.topic] = r
	t.cached += size
}

// forget empties the cache, because a subscription changed or there is no room.
func (t *router) forget() {
	clear(t.routes)
	t.cached = 0
}

// deliver delivers a message to all receivers of a route that the publisher's node knows,
// and reports whether there are any.
func (t *router) deliver(r *route, m *message) bool {
	found := false
	for _, subs := range r.direct {
		found = t.direct(m, subs) || found
	}
	for _, g := range r.groups {
		found = g.deliver(m) || found
	}
	return found
}

func (r *route) empty() bool { return len(r.direct)+len(r.groups) == 0 }

// direct delivers to a session with matching subscriptions: one copy at the highest QoS
// [MQTT-3.3.5-1], or one for each subscription. It reports whether there is one.
func (t *router) direct(m *message, subs []*subscription) (found bool) {
	if len(subs) == 1 || t.options.copies {
		for _, sub := range subs {
			if !sub.known(m.node) {
				continue
			}
			found = true
			if sub.noLocal && m.from == sub.session.id { // [MQTT-3.8.3-3]
				continue
			}
			sub.session.deliver(m, sub, delivery{qos: sub.qos, ids: sub.ids, retain: m.retain && sub.retainAsPublished})
		}
		return found
	}
	var d delivery
	matched := false
	for _, sub := range subs {
		if !sub.known(m.node) {
			continue
		}
		found = true
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
	return found
}

// join adds a subscription in place of an old one of the same session and filter, which may
// be nil.
func (t *router) join(old, sub *subscription) {
	if old != nil {
		sub.group = old.group
		t.replace(old, sub)
	} else {
		t.insert(sub)
	}
	t.forget()
}

func (t *router) insert(sub *subscription) {
	if sub.share != "" {
		g := t.groups[sub.filter]
		if g == nil {
			g = &group{filter: sub.filter, router: t, turns: make([]int, max(1, t.options.nodes))}
			t.groups[sub.filter] = g
		}
		sub.group = g
		g.members = append(g.members, sub)
	}
	if wildcard(sub.plain) {
		place := t.wild.at(sub.plain)
		place.subs = append(place.subs, sub)
	} else {
		t.exact[sub.plain] = append(t.exact[sub.plain], sub)
	}
}

func (t *router) replace(old, sub *subscription) {
	swap := func(list []*subscription) {
		if i := slices.Index(list, old); i >= 0 {
			list[i] = sub
		}
	}
	if g := sub.group; g != nil {
		swap(g.members)
		if g.last == old {
			g.last = sub
		}
	}
	if wildcard(sub.plain) {
		swap(t.wild.at(sub.plain).subs)
	} else {
		swap(t.exact[sub.plain])
	}
}

// leave removes a subscription.
func (t *router) leave(sub *subscription) {
	if g := sub.group; g != nil {
		if g.members = without(g.members, sub); len(g.members) == 0 {
			delete(t.groups, g.filter)
		}
	}
	if wildcard(sub.plain) {
		t.wild.remove(sub.plain, sub)
	} else if t.exact[sub.plain] = without(t.exact[sub.plain], sub); len(t.exact[sub.plain]) == 0 {
		delete(t.exact, sub.plain)
	}
	t.forget()
}

func without(list []*subscription, sub *subscription) []*subscription {
	return slices.DeleteFunc(list, func(x *subscription) bool { return x == sub })
}

func wildcard(filter string) bool { return strings.ContainsAny(filter, "+#") }
