package client

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// grants tracks for every session that subscribes, by name, whether its subscriptions are
// granted. A grant ends with the connection of its session.
type grants struct {
	notify func(fresh, all bool)

	mu  sync.Mutex
	all map[string]bool // whether granted, by the name of the session
}

func (g *grants) init(tell func(fresh, all bool)) { g.notify, g.all = tell, make(map[string]bool) }

// expect adds a session that has subscriptions from now on.
func (g *grants) expect(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.all[name]; !known {
		g.all[name] = false
	}
}

// noSubscriptions reports that a run has no subscriptions although there were some before,
// so that nothing waits for their grants until the run ends.
func (g *grants) noSubscriptions(none bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.notify != nil && len(g.all) == 0 {
		g.notify(false, none)
	}
}

// note processes the events of a session, in their order.
func (g *grants) note(name string, e session.Event) {
	if g.notify == nil {
		return
	}
	fresh, granted := false, false
	switch ev := e.(type) {
	case session.Connected:
		fresh = !ev.SessionPresent
	case session.Subscribed, session.NothingWanted:
		granted = true
	case session.ConnectionLost, session.ConnectFailed, session.TakenOver, session.Renewed, session.Closed:
	default:
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock() // held while notify is called, which keeps the order
	if _, wanted := g.all[name]; !wanted {
		return
	}
	g.all[name] = granted
	all := true
	for _, granted := range g.all {
		all = all && granted
	}
	g.notify(fresh, all)
}
