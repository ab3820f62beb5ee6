package client

import (
	"context"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// movedLanes has the lanes of subscriptions of other sessions whose messages still arrive
// on this one: an earlier deployment had their filter here, and the broker kept the
// messages. Each has a lane here, because waiting messages count for the session that they
// arrived on.
type movedLanes struct {
	mu    sync.Mutex
	lanes map[*Subscription]*delivery.Lane
}

// moved returns the items that deliver a message without a subscription on this session to
// subscriptions that have moved to other sessions, and reports whether there are any. It
// may be called from any goroutine.
func (at *subscriber) moved(m *session.Inbound) (items []delivery.Item, found bool) {
	var to []*Subscription
	for _, s := range at.run.client.router.Match(m.Topic) {
		if s.Session != at.name && m.Through(s.id) {
			to = append(to, s)
		}
	}
	if len(to) == 0 {
		return nil, false
	}
	m.Entry().Share(len(to))
	topicKey := at.sched.Key(m.Topic)
	for _, s := range to {
		if s.ignores(m) {
			at.ignore(m)
			continue
		}
		key, d := topicKey, new(Delivery)
		key, d.key = at.order(s, m, key)
		// Single delivery even if the subscription has batches: those belong to the other
		// session.
		items = append(items, delivery.Item{
			Task: s.deliver(d, m), Lane: at.movedLane(s), Key: key, Origin: at.origin(s, m), Shares: s.levels > 0, Size: m.Size, Must: true,
		})
	}
	return items, true
}

func (at *subscriber) movedLane(s *Subscription) *delivery.Lane {
	g := &at.movedLanes
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[s]
	if l == nil {
		if g.lanes == nil {
			g.lanes = make(map[*Subscription]*delivery.Lane)
		}
		l = at.sched.NewLane(s.Concurrency)
		s.breaker.Guard(l)
		g.lanes[s] = l
		at.run.client.log.Info("mqtt: a session still has messages of a filter that moved to another session: they go to the same handler",
			logsafe.KeyClientID, at.clientID(), logsafe.KeyFilter, s.Filter, logsafe.KeyNames, s.at.clientID())
		at.run.checks.run(func(ctx context.Context) { at.clearMoved(ctx, s) })
	}
	return l
}

// clearMoved unsubscribes a filter here once the other session has it; until then each
// message arrives on both.
func (at *subscriber) clearMoved(ctx context.Context, s *Subscription) {
	c := at.run.client
	if c.cfg.KeepFilters || s.at.WaitReady(ctx) != nil {
		return // tried again at the next start
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted(at.name, s.Filter).Filter == "" {
		at.Clear(s.Filter)
	}
}
