package outbox

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// gate lets the relay send while the subscriptions that this process needs are granted in
// the current session, and decides whether an acknowledged message counts as delivered: a
// broker that lost its sessions acknowledges messages that reach no subscriber.
//
// It opens when the subscriptions are granted and the broker has confirmed that after the
// last change of either connection: the publishing connection may be back before the
// subscriber notices that its own is gone. Messages that are acknowledged while it is
// closed wait until it opens: they count as delivered if the session is still the one in
// which they were sent, and are sent again otherwise.
type gate struct {
	subs    event.Subscriptions             // nil with ask
	ask     func(ctx context.Context) error // waits until messages may go
	opens   func()                          // called when it has opened
	closes  func()                          // called when subscriptions are lost
	protect func(what string, f func())
	log     logsafe.Log

	mu      sync.Mutex
	granted event.SubscriptionState
	changes uint64 // on either side
	open    bool
	told    bool          // that it is closed, in the log
	opening chan struct{} // closed when it opens
	changed chan struct{} // cap 1: something to look at
	waiting []judgement
}

// judgement is an acknowledgement that waits for the gate to open.
type judgement struct {
	session uint64
	done    func(delivered bool)
}

// newGate returns the gate, or nil for an outbox that is never held back.
func newGate(s *Settings, l *Link) *gate {
	g := &gate{subs: s.Subscriptions, ask: s.Gate, protect: l.Protect, log: l.Log}
	switch {
	case g.subs != nil:
		g.ask = g.confirm
	case g.ask == nil:
		return nil
	default:
		g.granted.Granted = true // ask says so each time
	}
	g.opening, g.changed = make(chan struct{}), make(chan struct{}, 1)
	return g
}

// confirmTimeout bounds one check that the subscriptions are still granted.
const confirmTimeout = 5 * time.Second

func (g *gate) confirm(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	return g.subs.ConfirmSubscriptions(ctx)
}

// run opens the gate whenever possible, until ctx ends. Messages that waited in an earlier
// run are in the store.
func (g *gate) run(ctx context.Context) {
	g.mu.Lock()
	g.waiting = nil
	g.upset()
	g.mu.Unlock()
	if g.subs != nil {
		defer g.subs.WatchSubscriptions(func(event.SubscriptionState) { g.noticed() })()
	}
	for ctx.Err() == nil {
		at, wanted := g.look()
		if !wanted {
			g.await(ctx)
			continue
		}
		if err := g.question(ctx); err == nil {
			g.opened(at)
		} else if ctx.Err() == nil {
			g.tell(err)
			retry := time.NewTimer(gatePause)
			g.pause(ctx, retry.C)
			retry.Stop()
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = nil
	g.upset()
}

// gateGrace is how long a user's gate function may take to return after the end of its
// context.
const gateGrace = 100 * time.Millisecond

// question runs the check on a goroutine of its own: a function that ignores its context
// must not delay Stop.
func (g *gate) question(ctx context.Context) error {
	answer := make(chan error, 1)
	go func() {
		err := errGate
		g.protect("the gate of the outbox", func() { err = g.ask(ctx) })
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-answer:
		return err
	case <-time.After(gateGrace):
		g.log.Warn("mqtt: the gate of the outbox has not returned after the end of its context")
		return ctx.Err()
	}
}

// await waits for a change. When that takes long, it logs what it waits for: the grants
// may come after a backlog that the broker sends first.
func (g *gate) await(ctx context.Context) {
	long := time.NewTimer(gateTell)
	defer long.Stop()
	select {
	case <-g.changed:
		return
	case <-ctx.Done():
		return
	case <-long.C:
	}
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	if !open {
		g.tell(errUngranted)
	}
	g.pause(ctx, nil)
}

// pause waits for a change, or until over is closed or ctx ends.
func (g *gate) pause(ctx context.Context, over <-chan time.Time) {
	select {
	case <-g.changed:
	case <-over:
	case <-ctx.Done():
	}
}

// look reports whether a check is wanted, and returns the number of the state to check.
func (g *gate) look() (at uint64, wanted bool) {
	g.refresh()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changes, !g.open && g.granted.Granted
}

// tell logs why the gate is closed, once each time.
func (g *gate) tell(err error) {
	g.mu.Lock()
	told := g.told
	g.told = true
	g.mu.Unlock()
	if !told {
		g.log.Warn("mqtt: the outbox is held back", logsafe.KeyError, err)
	}
}

// opened opens the gate, unless something has changed since the check began.
func (g *gate) opened(at uint64) {
	g.refresh()
	g.mu.Lock()
	if g.changes != at {
		g.mu.Unlock()
		return
	}
	session, list := g.granted.Session, g.waiting
	g.open, g.told, g.waiting = true, false, nil
	close(g.opening)
	g.mu.Unlock()
	for _, j := range list {
		j.done(j.session == session)
	}
	g.opens()
}

// upset closes the gate until it is confirmed again. The caller holds mu.
func (g *gate) upset() {
	g.changes++
	if g.open {
		g.open, g.opening = false, make(chan struct{})
	}
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// refresh closes the gate when the subscriptions have changed since the gate last looked.
// It is called for each decision, because a watcher may learn of the change only after the
// relay has sent.
func (g *gate) refresh() {
	if g.subs == nil {
		return
	}
	now := g.subs.SubscriptionState()
	g.mu.Lock()
	defer g.mu.Unlock()
	if now != g.granted {
		g.granted = now
		g.upset()
	}
}

// noticed is called after each change of the subscriptions.
func (g *gate) noticed() {
	g.refresh()
	g.mu.Lock()
	all := g.granted.Granted
	g.mu.Unlock()
	if !all {
		g.closes()
	}
}

// connection is called for each publishing connection that comes up, before anything is
// sent on it, and for each that is lost. Without subscriptions to follow, the subscribers'
// sessions are assumed to end with the connection.
func (g *gate) connection() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.subs == nil {
		g.granted.Session++
	}
	g.upset()
}

// wait waits until the gate is open, and returns the session of the subscriptions.
func (g *gate) wait(ctx context.Context) (session uint64, err error) {
	if g == nil {
		return 0, nil
	}
	for {
		g.refresh()
		g.mu.Lock()
		open, opening, session := g.open, g.opening, g.granted.Session
		g.mu.Unlock()
		if open {
			return session, nil
		}
		select {
		case <-opening:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// isOpen reports whether messages may go now.
func (g *gate) isOpen() bool {
	_, open := g.now()
	return open
}

// now returns the session of the subscriptions when the gate is open.
func (g *gate) now() (session uint64, open bool) {
	if g == nil {
		return 0, true
	}
	g.refresh()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.granted.Session, g.open
}

// stands reports whether a message that was sent in a session and acknowledged counts as
// delivered: the gate is open, and the session is still the same. doubt closes the gate.
func (g *gate) stands(session uint64, doubt bool) bool {
	if g == nil {
		return true
	}
	g.refresh()
	g.mu.Lock()
	defer g.mu.Unlock()
	if doubt && g.open {
		g.upset()
	}
	return g.open && session == g.granted.Session
}

// judge calls done, at once or when the gate opens, with whether an acknowledged message
// was sent in the current session. doubt closes the gate until it is confirmed again.
func (g *gate) judge(session uint64, doubt bool, done func(delivered bool)) {
	if g == nil {
		done(true)
		return
	}
	g.refresh()
	g.mu.Lock()
	if doubt && g.open {
		g.upset()
	}
	if !g.open {
		g.waiting = append(g.waiting, judgement{session, done})
		g.mu.Unlock()
		return
	}
	now := g.granted.Session
	g.mu.Unlock()
	done(session == now)
}

// undecided returns the number of acknowledgements that wait.
func (g *gate) undecided() int {
	if g == nil {
		return 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.waiting)
}

// gatePause is the time between two checks of a gate that fail.
const gatePause = time.Second

// gateTell is how long subscriptions may be missing before it is logged.
const gateTell = 5 * time.Second

var errUngranted = errors.New("the broker has not granted the subscriptions of this process in the present session")

var errGate = errors.New("the gate panicked")
