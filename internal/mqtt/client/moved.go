package client

import (
	"context"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// guests are subscriptions of other sessions whose messages still come on this
// one: an earlier deployment had their filter here, and the broker kept them. Each
// has a lane here, since what waits counts for the session that it came on.
type guests struct {
	mu    sync.Mutex
	lanes map[*Subscription]*delivery.Lane
}

// moved returns the items that bring a message, which no subscription of this
// session takes, to those of other sessions that its filter has moved to, and
// reports whether there are such. Safe from any goroutine.
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
	done, topicKey := delivery.Join(len(to), doner(m)), at.sched.Key(m.Topic)
	for _, s := range to {
		if s.ignores(m) {
			at.ignore(done)
			continue
		}
		key, d := topicKey, new(Delivery)
		key, d.key = at.order(s, m, key)
		// Singly also where there are batches, which are those of the other session.
		items = append(items, delivery.Item{
			Task: s.deliver(d, m, done), Lane: at.guest(s), Key: key, Origin: at.origin(s, m), Shares: s.levels > 0, Size: m.Size, Must: true,
		})
	}
	return items, true
}

func (at *subscriber) guest(s *Subscription) *delivery.Lane {
	g := &at.guests
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lanes[s]
	if l == nil {
		if g.lanes == nil {
			g.lanes = make(map[*Subscription]*delivery.Lane)
		}
		l = at.sched.NewLane(s.Concurrency)
		g.lanes[s] = l
		at.run.client.log.Infof("mqtt: %q still has messages of filter %q, which session %q has by now: they go to the same handler",
			at.clientID(), s.Filter, s.at.clientID())
		at.run.checks.run(func(ctx context.Context) { at.leave(ctx, s) })
	}
	return l
}

// leave has the broker forget here what has moved to another session, once that
// one has it: until then each message comes on both.
func (at *subscriber) leave(ctx context.Context, s *Subscription) {
	c := at.run.client
	if c.cfg.KeepFilters || s.at.WaitReady(ctx) != nil {
		return // at the next start then
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted(at.name, s.Filter).Filter == "" {
		at.Clear(s.Filter)
	}
}
