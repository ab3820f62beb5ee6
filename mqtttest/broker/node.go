package broker

// maxNodes limits the nodes of a cluster.
const maxNodes = 100

// WithNodes makes the broker a cluster of n nodes, numbered from 0, each with a plain listener
// on a free port of the loopback interface; [WithAddress] sets that of node 0, which also has
// all other listeners. The nodes share one state, except for what [Sessions], [SpreadAfter] and
// [StaleFor] say. It cannot be combined with [WithFile] or periodic saving. Start, Stop and
// Kill act on the whole cluster. Default: 1.
func WithNodes(n int) Option { return func(o *options) { o.nodes = n } }

func (o *options) addNodes() {
	for node := 1; node < min(o.nodes, maxNodes); node++ {
		o.listeners = append(o.listeners, &listener{node: node, scheme: "mqtt", address: "127.0.0.1:0"})
	}
}

// Nodes returns the number of nodes, see [WithNodes].
func (b *Broker) Nodes() int { return b.core.options.nodes }

// NodeURL returns the address of a node, mqtt://host:port, which never changes, or "" if there
// is no such node.
func (b *Broker) NodeURL(node int) string { return b.listeners.nodeURL(node) }

// KillNode ends one node like a crash: its connections are reset, no will is published, and the
// sessions that were on it are lost with what waited in them (see [Counts]), unless they are
// replicated. It must not be called by an observer.
func (b *Broker) KillNode(node int) {
	if b.endNode(node, true) {
		b.script.faults.count("kill node")
	}
}

// StopNode ends one node gracefully: MQTT 5 clients receive a DISCONNECT with code 0x8B. The
// sessions that were on it end, unless they are replicated: messages of shared groups go to
// another member, unless [SharedStaysWithSession] is set. No will is published. It must not be
// called by an observer.
func (b *Broker) StopNode(node int) {
	if b.endNode(node, false) {
		b.script.faults.count("stop node")
	}
}

// endNode returns false if the node is not running.
func (b *Broker) endNode(node int, abrupt bool) bool {
	b.control.Lock()
	defer b.control.Unlock()
	if !b.listeners.haltNode(node) {
		return false
	}
	var ended []*conn
	b.core.locked(func() {
		b.core.cluster.leave(node, abrupt)
		b.listeners.each(func(c *conn) {
			if c.via.node == node {
				c.dead = true
				ended = append(ended, c)
			}
		})
	})
	for _, c := range ended {
		c.hold(false, false)
		if abrupt {
			c.reset()
		} else if !c.out.last() {
			c.close()
		}
	}
	return true
}

// StartNode starts a node that was ended, on the same address. It does nothing if the node is
// running.
func (b *Broker) StartNode(node int) error {
	b.control.Lock()
	defer b.control.Unlock()
	b.listeners.raiseNode(node)
	return b.listeners.open()
}

// Settle ends all delays between the nodes now: every subscription is known everywhere, and the
// sessions of killed nodes are forgotten. It must not be called by an observer.
func (b *Broker) Settle() { b.core.locked(b.core.cluster.settle) }
