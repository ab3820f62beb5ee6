package broker

// Strategy is how a message of a shared group gets its member. Members that are connected come
// before others, unless [ShareWithAway] is set.
type Strategy int

// The strategies.
const (
	// RoundRobin takes the members in turn.
	RoundRobin Strategy = iota
	// Random takes any member, by the seed of [WithSeed].
	Random
	// Sticky stays with one member until it leaves the group, or is away while another one is
	// connected.
	Sticky
	// LocalFirst takes the members on the publisher's node in turn; if there is none, all others.
	LocalFirst
	// NodesInTurn takes the nodes that have members in turn, and on each its members: each node
	// receives the same number of messages, however many members it has.
	NodesInTurn
	// Nobody grants shared subscriptions and delivers nothing to them, as some brokers do.
	Nobody
)

// ShareBy sets the strategy of shared groups. Default: [RoundRobin].
func ShareBy(s Strategy) Option { return func(o *options) { o.share = s } }

// ShareWithAway gives members that are not connected their turn, too: their messages wait in
// their sessions, and for a client that never returns until its session expires. Default:
// only while no member is connected.
func ShareWithAway() Option { return func(o *options) { o.shareAway = true } }

// group is a shared subscription: each message goes to one of its members.
type group struct {
	router  *router
	filter  string
	members []*subscription
	turns   []int         // of the members, of each node if they are chosen by node
	node    int           // whose turn it is
	last    *subscription // that received a message
}

// deliver delivers a message to a member, and reports whether there is one.
func (g *group) deliver(m *message) bool {
	sub := g.pick(m.node)
	if sub != nil {
		sub.session.deliver(m, sub, delivery{qos: sub.qos, ids: sub.ids, retain: m.retain && sub.retainAsPublished})
	}
	return sub != nil
}

// pick returns the member for a message that was published at a node, or nil.
func (g *group) pick(origin int) *subscription {
	strategy, preferred := g.router.options.share, origin
	turn := &g.turns[0]
	switch strategy {
	case NodesInTurn:
		preferred = g.nextNode(origin)
		turn = &g.turns[preferred]
	case LocalFirst:
		turn = &g.turns[preferred]
	}
	n, best, at, equal := len(g.members), 0, 0, 0
	for i := range n {
		next := (*turn + i) % n
		switch rank := g.rank(g.members[next], origin, preferred); {
		case rank > best:
			best, at, equal = rank, next, 1
		case rank == best && rank > 0 && strategy == Random:
			if equal++; g.router.random.IntN(equal) == 0 {
				at = next
			}
		}
		if best == topRank && strategy != Random {
			break
		}
	}
	if best == 0 {
		return nil
	}
	*turn, g.last = (at+1)%n, g.members[at]
	return g.last
}

// topRank is the highest result of rank.
const topRank = 4

// rank returns how well a member suits a message, 0 for not at all.
func (g *group) rank(sub *subscription, origin, node int) int {
	o := g.router.options
	if o.share == Nobody || !sub.known(origin) {
		return 0
	}
	rank := 1
	if o.shareAway || sub.session.conn != nil || sub.session.lost { // other nodes do not know yet that it is lost
		rank += 2
	}
	switch o.share {
	case LocalFirst, NodesInTurn:
		rank += one(sub.session.home == node)
	case Sticky:
		rank += one(sub == g.last)
	default:
		rank++
	}
	return rank
}

func one(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

// nextNode returns the next node in turn that has a member known at the publisher's node.
func (g *group) nextNode(origin int) int {
	nodes := g.router.options.nodes
	for i := range nodes {
		node := (g.node + i) % nodes
		for _, sub := range g.members {
			if sub.session.home == node && sub.known(origin) {
				g.node = (node + 1) % nodes
				return node
			}
		}
	}
	return origin
}

// successor returns the member of the group that receives a message that a session left
// unacknowledged on a node, or nil. A QoS 2 message that was sent must not go to another member
// [MQTT-4.8.2-5].
func (d *delivery) successor(node int) *subscription {
	if d.group == nil || (d.qos == 2 && d.state != queued) {
		return nil
	}
	return d.group.pick(node)
}
