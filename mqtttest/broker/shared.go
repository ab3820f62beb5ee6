package broker

// group is a shared subscription: each message goes to one of its members.
type group struct {
	filter  string
	members []*subscription
	turn    int
}

// deliver delivers a message to the next connected member, or to the next member if none is
// connected.
func (g *group) deliver(m *message) {
	if sub := g.pick(); sub != nil {
		sub.session.deliver(m, sub, delivery{qos: sub.qos, ids: sub.ids, retain: m.retain && sub.retainAsPublished})
	}
}

func (g *group) pick() *subscription {
	n := len(g.members)
	for i := range n {
		if sub := g.members[(g.turn+i)%n]; sub.session.conn != nil {
			g.turn = (g.turn + i + 1) % n
			return sub
		}
	}
	if n == 0 {
		return nil
	}
	g.turn = (g.turn + 1) % n
	return g.members[(g.turn+n-1)%n]
}

// successor returns the member of the group that receives a message that a session left
// unacknowledged, or nil. A QoS 2 message that was sent must not go to another member
// [MQTT-4.8.2-5].
func (d *delivery) successor() *subscription {
	if d.group == nil || (d.qos == 2 && d.state != queued) {
		return nil
	}
	return d.group.pick()
}
