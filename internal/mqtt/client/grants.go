package client

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// grants follows how the subscriptions of a run stand: those of every session
// that subscribes, by its name. What is granted is granted in the present
// session of each only, and ends with its connection.
type grants struct {
	tell func(fresh, all bool)

	mu  sync.Mutex
	all map[string]bool // granted, by the name of the session
}

func (g *grants) init(tell func(fresh, all bool)) { g.tell, g.all = tell, make(map[string]bool) }

// expect adds a session that has subscriptions from now on.
func (g *grants) expect(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, known := g.all[name]; !known {
		g.all[name] = false
	}
}

// none says that a run has no subscriptions, though there were some before: what
// waited for them waits no longer, until the run ends.
func (g *grants) none(none bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tell != nil && len(g.all) == 0 {
		g.tell(false, none)
	}
}

// note takes an event of a session, in their order.
func (g *grants) note(name string, e session.Event) {
	if g.tell == nil {
		return
	}
	fresh, granted := false, false
	switch ev := e.(type) {
	case session.Connected:
		fresh = !ev.SessionPresent
	case session.Subscribed, session.NothingWanted:
		granted = true
	case session.ConnectionLost, session.ConnectFailed, session.TakenOver, session.Closed:
	default:
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock() // also while telling: the order counts
	if _, wanted := g.all[name]; !wanted {
		return
	}
	g.all[name] = granted
	all := true
	for _, granted := range g.all {
		all = all && granted
	}
	g.tell(fresh, all)
}
