package client

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// events logs what happens to the connections and calls the user's hooks, on
// one goroutine of its own: sessions must not wait for either.
type events struct {
	cfg     *Config
	log     Logger
	calls   *callbacks
	granted func() // looks at what the broker does not support
	left    *leftovers
	outages outages // of the goroutine that works
	queue   *queue.Queue[notice]
}

type notice struct {
	call  func() // instead of an event
	event session.Event
	main  bool // of the connection that the hooks follow
}

func (e *events) add(ev session.Event, main bool) {
	if closed, ok := ev.(session.Closed); ok {
		e.left.closed(closed)
		return
	}
	e.queue.Add(notice{event: ev, main: main})
}

// do calls f on the goroutine of the events.
func (e *events) do(f func()) { e.queue.Add(notice{call: f}) }

// work works off what happened.
func (e *events) work(batch []notice) {
	for _, n := range batch {
		if n.call != nil {
			n.call()
			continue
		}
		e.report(n)
		e.tell(n.event)
	}
}

// reportGrace is what the last reports may take after the end of the context:
// they say what was left undone.
const reportGrace = 100 * time.Millisecond

// wait returns when everything is reported, or soon after ctx ends: a hook may
// be slow, or be the one who stops the client.
func (e *events) wait(ctx context.Context) { e.queue.Wait(ctx, reportGrace) }

// report writes what happened into the log.
func (e *events) report(n notice) {
	switch ev := n.event.(type) {
	case session.Connected:
		text := fmt.Sprintf("mqtt: connected to %s as %q, session present: %t", ev.Address, ev.ClientID, ev.SessionPresent)
		if took, attempts := e.outages.ended(ev.ClientID); attempts > 0 {
			text += fmt.Sprintf(", after %d failed attempts in %v", attempts, rounded(took))
		}
		e.log.Infof("%s", text)
		if n.main && e.cfg.OnConnect != nil {
			e.calls.call(e.cfg.OnConnect)
		}
	case session.Subscribed:
		e.granted()
		e.log.Infof("mqtt: topic filters granted to %q: %d", ev.ClientID, ev.Filters)
	case session.ConnectFailed:
		next := "trying the next address"
		if ev.RetryIn > 0 {
			next = fmt.Sprintf("next attempt in %v", rounded(ev.RetryIn))
		}
		write := e.log.Debugf
		if e.outages.failed(ev) {
			write = e.log.Warnf
		}
		write("mqtt: cannot connect to %s as %q, %s: %s", ev.Address, ev.ClientID, next, withoutAddress(ev.Err, ev.Address))
	case session.ConnectionLost:
		e.outages.lost(ev.Loss.ClientID)
		e.log.Warnf("mqtt: lost %s as %q, next attempt in %v: %v", ev.Loss.Address, ev.Loss.ClientID, rounded(ev.RetryIn), ev.Err)
		e.lost(n.main, ev.Err)
	case session.TakenOver:
		e.outages.lost(ev.Loss.ClientID)
		e.log.Errorf("mqtt: lost %s as %q, next attempt in %v: %v", ev.Loss.Address, ev.Loss.ClientID, rounded(ev.RetryIn), ev.Err)
		e.lost(n.main, ev.Err)
	case session.ExpiryReduced:
		e.log.Warnf("mqtt: the broker keeps the session of %q for %v without a connection, and not for %v as asked: what is published in a longer outage is lost", ev.ClientID, ev.Granted, ev.Wanted)
	case session.Forgotten:
		e.log.Warnf("mqtt: the broker lost the session of %q: messages published meanwhile are gone, %d of ours ended with an unknown outcome", ev.ClientID, ev.Unfinished)
	case session.SubscriptionRefused:
		e.log.Errorf("mqtt: %v", ev.Err)
	case session.SubscriptionLowered:
		e.log.Warnf("mqtt: filter %q is granted at QoS %d, asked for %d: its messages arrive at that level, and the client is not ready",
			ev.Filter, ev.Granted, ev.Asked)
	case session.CallbackPanicked:
		e.calls.panicked(fmt.Sprintf("mqtt: a %s callback panicked: %v", ev.What, ev.Value), ev.Stack)
	}
}

// lost calls the function that follows the main connection.
func (e *events) lost(main bool, err error) {
	if main && e.cfg.OnDisconnect != nil {
		e.calls.call(func() { e.cfg.OnDisconnect(err) })
	}
}

// tell calls the hooks that are about connections.
func (e *events) tell(ev session.Event) {
	h := &e.cfg.Hooks
	switch ev := ev.(type) {
	case session.Connected:
		tellOf(e.calls, h.Connected, event.ConnectInfo{ClientID: ev.ClientID, Address: ev.Address, SessionPresent: ev.SessionPresent})
	case session.ConnectFailed:
		tellOf(e.calls, h.Connected, event.ConnectInfo{ClientID: ev.ClientID, Address: ev.Address, Err: ErrorOf("connect", "", ev.Err)})
	case session.ConnectionLost:
		tellOf(e.calls, h.Disconnected, lossOf(ev.Loss, ev.Err))
	case session.TakenOver:
		tellOf(e.calls, h.Disconnected, lossOf(ev.Loss, ev.Err))
	case session.Forgotten:
		tellOf(e.calls, h.SessionLost, event.SessionLostInfo{ClientID: ev.ClientID, Unfinished: ev.Unfinished})
	case session.Subscribed:
		tellOf(e.calls, h.Subscribed, event.SubscribeInfo{Granted: ev.Filters})
	case session.SubscriptionRefused:
		tellOf(e.calls, h.Subscribed, event.SubscribeInfo{Filter: ev.Filter, Err: ErrorOf("subscribe", ev.Filter, ev.Err)})
	case session.SubscriptionLowered:
		tellOf(e.calls, h.Subscribed, event.SubscribeInfo{
			Filter: ev.Filter, AskedQoS: ev.Asked, GrantedQoS: ev.Granted, Err: ErrorOf("subscribe", ev.Filter, ev.Err()),
		})
	}
}

func lossOf(l *event.LossError, err error) event.DisconnectInfo {
	return event.DisconnectInfo{ClientID: l.ClientID, Address: l.Address, Cause: event.CauseOf(err), Err: ErrorOf("connect", "", err)}
}
