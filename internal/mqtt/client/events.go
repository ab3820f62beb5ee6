package client

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// events logs what happens to the connections and calls the user's hooks, on
// one goroutine of its own: sessions must not wait for either.
type events struct {
	client  *Client
	left    *leftovers
	outages outages // of the goroutine that works

	mu    sync.Mutex
	queue []notice
	idle  chan struct{} // closed when the goroutine ends; nil without one
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
	e.mu.Lock()
	defer e.mu.Unlock()
	e.push(notice{event: ev, main: main})
}

// do calls f on the goroutine of the events.
func (e *events) do(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.push(notice{call: f})
}

func (e *events) push(n notice) {
	e.queue = append(e.queue, n)
	if e.idle == nil {
		e.idle = make(chan struct{})
		go e.work(e.idle)
	}
}

// work ends when nothing is left.
func (e *events) work(idle chan struct{}) {
	defer close(idle)
	for batch := e.take(); len(batch) > 0; batch = e.take() {
		for _, n := range batch {
			if n.call != nil {
				n.call()
				continue
			}
			e.client.report(n, e.outages)
			e.client.tell(n.event)
		}
	}
}

func (e *events) take() []notice {
	e.mu.Lock()
	defer e.mu.Unlock()
	batch := e.queue
	if e.queue = nil; len(batch) == 0 {
		e.idle = nil
	}
	return batch
}

// reportGrace is what the last reports may take after the end of the context:
// they say what was left undone.
const reportGrace = 100 * time.Millisecond

// wait returns when everything is reported, or soon after ctx ends: a hook may
// be slow, or be the one who stops the client.
func (e *events) wait(ctx context.Context) {
	e.mu.Lock()
	idle := e.idle
	e.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
		return
	case <-ctx.Done():
	}
	select {
	case <-idle:
	case <-time.After(reportGrace):
	}
}

// hook keeps a panic of the user's function from ending the process.
func (c *Client) hook(f func()) {
	defer func() {
		if v := recover(); v != nil {
			c.logPanic(fmt.Sprintf("mqtt: a hook panicked: %v", v), debug.Stack())
		}
	}()
	f()
}

func (c *Client) logPanic(text string, stack []byte) {
	c.panics.Say("", func(others string) { c.log.Panic(text+others, stack) })
}

// report writes what happened into the log.
func (c *Client) report(n notice, outages outages) {
	switch ev := n.event.(type) {
	case session.Connected:
		text := fmt.Sprintf("mqtt: connected to %s as %q, session present: %t", ev.Address, ev.ClientID, ev.SessionPresent)
		if took, attempts := outages.ended(ev.ClientID); attempts > 0 {
			text += fmt.Sprintf(", after %d failed attempts in %v", attempts, rounded(took))
		}
		c.log.Infof("%s", text)
		if n.main && c.cfg.OnConnect != nil {
			c.hook(c.cfg.OnConnect)
		}
	case session.Subscribed:
		c.warnUnsupported()
		c.log.Infof("mqtt: topic filters granted to %q: %d", ev.ClientID, ev.Filters)
	case session.ConnectFailed:
		next := "trying the next address"
		if ev.RetryIn > 0 {
			next = fmt.Sprintf("next attempt in %v", rounded(ev.RetryIn))
		}
		write := c.log.Debugf
		if outages.failed(ev) {
			write = c.log.Warnf
		}
		write("mqtt: cannot connect to %s as %q, %s: %s", ev.Address, ev.ClientID, next, withoutAddress(ev.Err, ev.Address))
	case session.ConnectionLost:
		outages.lost(ev.Loss.ClientID)
		c.log.Warnf("mqtt: lost %s as %q, next attempt in %v: %v", ev.Loss.Address, ev.Loss.ClientID, rounded(ev.RetryIn), ev.Err)
		c.lost(n.main, ev.Err)
	case session.TakenOver:
		outages.lost(ev.Loss.ClientID)
		c.log.Errorf("mqtt: lost %s as %q, next attempt in %v: %v", ev.Loss.Address, ev.Loss.ClientID, rounded(ev.RetryIn), ev.Err)
		c.lost(n.main, ev.Err)
	case session.ExpiryReduced:
		c.log.Warnf("mqtt: the broker keeps the session of %q for %v without a connection, and not for %v as asked: what is published in a longer outage is lost", ev.ClientID, ev.Granted, ev.Wanted)
	case session.Forgotten:
		c.log.Warnf("mqtt: the broker lost the session of %q: messages published meanwhile are gone, %d of ours ended with an unknown outcome", ev.ClientID, ev.Unfinished)
	case session.SubscriptionRefused:
		c.log.Errorf("mqtt: %v", ev.Err)
	case session.SubscriptionLowered:
		c.log.Warnf("mqtt: filter %q is granted at QoS %d, asked for %d: its messages arrive at that level, and the client is not ready",
			ev.Filter, ev.Granted, ev.Asked)
	case session.CallbackPanicked:
		c.logPanic(fmt.Sprintf("mqtt: a %s callback panicked: %v", ev.What, ev.Value), ev.Stack)
	}
}

// lost calls the function that follows the main connection.
func (c *Client) lost(main bool, err error) {
	if main && c.cfg.OnDisconnect != nil {
		c.hook(func() { c.cfg.OnDisconnect(err) })
	}
}

// tell calls the hooks that are about connections.
func (c *Client) tell(event session.Event) {
	h := &c.cfg.Hooks
	switch ev := event.(type) {
	case session.Connected:
		if h.Connected != nil {
			c.hook(func() { h.Connected(ev.ClientID, ev.Address, ev.SessionPresent, nil) })
		}
	case session.ConnectFailed:
		if h.Connected != nil {
			c.hook(func() { h.Connected(ev.ClientID, ev.Address, false, ev.Err) })
		}
	case session.ConnectionLost:
		if h.Disconnected != nil {
			c.hook(func() { h.Disconnected(ev.Loss.ClientID, ev.Loss.Address, ev.Err) })
		}
	case session.TakenOver:
		if h.Disconnected != nil {
			c.hook(func() { h.Disconnected(ev.Loss.ClientID, ev.Loss.Address, ev.Err) })
		}
	case session.Forgotten:
		if h.SessionLost != nil {
			c.hook(func() { h.SessionLost(ev.ClientID, ev.Unfinished) })
		}
	case session.Subscribed:
		if h.Subscribed != nil {
			c.hook(func() { h.Subscribed("", ev.Filters, nil) })
		}
	case session.SubscriptionRefused:
		if h.Subscribed != nil {
			c.hook(func() { h.Subscribed(ev.Filter, 0, ev.Err) })
		}
	case session.SubscriptionLowered:
		if h.Lowered != nil {
			c.hook(func() { h.Lowered(ev.Filter, ev.Asked, ev.Granted, ev.Err()) })
		}
	}
}
