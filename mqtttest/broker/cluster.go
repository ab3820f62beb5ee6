package broker

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Placement is where the nodes of a cluster keep a session.
type Placement int

// The placements.
const (
	// Replicated sessions are on all nodes, and survive the end of a node.
	Replicated Placement = iota
	// Moving sessions are on the node that their client is or was last connected to, and move
	// with it. They are lost with the node.
	Moving
	// PerNode sessions stay on their node, and are lost with it. A client that connects to
	// another node has a second session there, while the first one and its place in shared
	// groups remain. So a client id can be connected once at each node.
	PerNode
)

// Sessions sets where the nodes of [WithNodes] keep sessions. Default: [Replicated].
func Sessions(p Placement) Option { return func(o *options) { o.placement = p } }

// SpreadAfter is the time from SUBACK until the other nodes know a new subscription: before,
// they route no message to it. See [Broker.Settle]. Default: 0.
func SpreadAfter(d time.Duration) Option { return func(o *options) { o.spreadAfter = d } }

// StaleFor is the time until the other nodes notice that a node was killed. Before, they route
// messages to sessions that were lost with it, which are lost, too, and counted as Misrouted.
// See [Broker.Settle]. Default: 0.
func StaleFor(d time.Duration) Option { return func(o *options) { o.staleFor = d } }

func (o *options) validateCluster() error {
	var errs []error
	if o.nodes < 1 || o.nodes > maxNodes {
		errs = append(errs, fmt.Errorf("%d nodes, want 1 to %d", o.nodes, maxNodes))
	}
	if o.nodes > 1 && (o.file != "" || o.saveEvery > 0 || o.saveAfter > 0) {
		errs = append(errs, errors.New("a cluster keeps its state in memory: no file, no periodic saving"))
	}
	if o.placement < Replicated || o.placement > PerNode {
		errs = append(errs, fmt.Errorf("placement %d of sessions", o.placement))
	}
	if o.share < RoundRobin || o.share > Nobody {
		errs = append(errs, fmt.Errorf("strategy %d of shared groups", o.share))
	}
	if o.spreadAfter < 0 || o.staleFor < 0 {
		errs = append(errs, fmt.Errorf("subscriptions known after %v, stale for %v", o.spreadAfter, o.staleFor))
	}
	return errors.Join(errs...)
}

// cluster is what the nodes of a broker do not share at once. The core's mutex guards it.
type cluster struct {
	core    *core
	waiting map[*later]struct{}
}

// later is what happens after a time, or when the cluster settles.
type later struct {
	timer *time.Timer
	do    func()
}

func (k *cluster) after(wait time.Duration, do func()) {
	if wait == 0 {
		do()
		return
	}
	l := &later{do: do}
	l.timer = time.AfterFunc(wait, func() { k.core.locked(func() { k.run(l) }) })
	k.waiting[l] = struct{}{}
}

func (k *cluster) run(l *later) {
	if _, waits := k.waiting[l]; waits {
		delete(k.waiting, l)
		l.timer.Stop()
		l.do()
	}
}

func (k *cluster) settle() {
	for l := range k.waiting {
		k.run(l)
	}
}

func (k *cluster) forget() {
	for l := range k.waiting {
		l.timer.Stop()
	}
	clear(k.waiting)
}

// key returns the name of a client's session on a node: the client id, and the node if each
// node has sessions of its own. A client id contains no NUL [MQTT-1.5.4-2].
func (k *cluster) key(clientID string, node int) string {
	if k.core.options.placement != PerNode || node == 0 {
		return clientID
	}
	return fmt.Sprintf("%s\x00%d", clientID, node)
}

func clientOf(key string) string {
	id, _, _ := strings.Cut(key, "\x00")
	return id
}

// spread makes a subscription, which replaces an old one or nil, known at other nodes later.
func (k *cluster) spread(old, sub *subscription) {
	o := k.core.options
	if o.nodes == 1 || o.spreadAfter == 0 || (old != nil && !old.local) {
		return
	}
	sub.local = true
	k.after(o.spreadAfter, func() { sub.local = false })
}

// known reports whether a node knows the subscription.
func (sub *subscription) known(node int) bool { return !sub.local || sub.session.home == node }

// misrouted counts a message for a session that was lost with its node.
func (k *cluster) misrouted(d *delivery) {
	if d.qos > 0 {
		k.core.counts.Misrouted++
	}
}

// leave ends what a node has of sessions and connections; no will is published.
func (k *cluster) leave(node int, abrupt bool) {
	for _, key := range slices.Sorted(maps.Keys(k.core.sessions)) {
		s := k.core.sessions[key]
		if s == nil || s.home != node {
			continue
		}
		s.will = nil
		client, replicated := s.conn, k.core.options.placement == Replicated
		if abrupt && !replicated {
			k.lose(s)
			continue
		}
		if client != nil {
			s.detach(true)
		}
		if !replicated && k.core.sessions[key] == s {
			s.end()
		}
		if client != nil && !abrupt {
			client.dismiss(reasonShuttingDown)
		}
	}
}

// lose removes a session whose node was killed. Its subscriptions remain until the other nodes
// notice that.
func (k *cluster) lose(s *session) {
	stopTimer(&s.timer)
	stopTimer(&s.willTime)
	delete(k.core.sessions, s.key)
	s.lost = true
	if s.conn != nil {
		s.conn.dead, s.conn = true, nil
	}
	k.core.counts.DiedWithNode += int64(s.out.open)
	k.after(k.core.options.staleFor, func() {
		for _, sub := range s.subs {
			k.core.router.leave(sub)
		}
	})
}
