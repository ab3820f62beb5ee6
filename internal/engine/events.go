package engine

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// events logs what happens to the connections and calls the user's hooks, on
// one goroutine of its own: sessions must not wait for either.
type events struct {
	client *Client

	mu      sync.Mutex
	queue   []notice
	running bool
	idle    sync.WaitGroup
}

type notice struct {
	event session.Event
	main  bool // of the connection that the hooks follow
}

func newEvents(c *Client) *events { return &events{client: c} }

func (e *events) add(ev session.Event, main bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.queue = append(e.queue, notice{ev, main})
	if !e.running {
		e.running = true
		e.idle.Add(1)
		go e.work()
	}
}

// work ends when nothing is left.
func (e *events) work() {
	defer e.idle.Done()
	for {
		e.mu.Lock()
		batch := e.queue
		e.queue = nil
		if len(batch) == 0 {
			e.running = false
			e.mu.Unlock()
			return
		}
		e.mu.Unlock()
		for _, n := range batch {
			e.client.report(n)
		}
	}
}

// close returns when everything is reported.
func (e *events) close() { e.idle.Wait() }

func (c *Client) report(n notice) {
	switch ev := n.event.(type) {
	case session.Connected:
		c.log.Infof("mqtt: connected to %s as %q, session present: %t", ev.Address, ev.ClientID, ev.SessionPresent)
		if n.main && c.cfg.OnConnect != nil {
			c.cfg.OnConnect()
		}
	case session.Subscribed:
		c.log.Infof("mqtt: %d topic filters granted", ev.Filters)
	case session.ConnectFailed:
		c.log.Warnf("mqtt: cannot connect to %s as %q, next attempt in %v: %v", ev.Address, ev.ClientID, ev.RetryIn, ev.Err)
	case session.ConnectionLost:
		c.log.Warnf("mqtt: lost %s as %q, next attempt in %v: %v", ev.Address, ev.ClientID, ev.RetryIn, ev.Err)
		if n.main && c.cfg.OnDisconnect != nil {
			c.cfg.OnDisconnect(ev.Err)
		}
	case session.SessionLost:
		c.log.Warnf("mqtt: the broker lost the session of %q: messages published meanwhile are gone, %d of ours ended with an unknown outcome", ev.ClientID, ev.Unfinished)
	case session.TakenOver:
		c.log.Errorf("mqtt: the broker ends every connection of %q at once: another client uses this client id; next attempt in %v", ev.ClientID, ev.RetryIn)
	case session.SubscriptionRefused:
		c.log.Errorf("mqtt: %v", ev.Err)
	case session.Closed:
		if ev.Unfinished > 0 || ev.Unacknowledged > 0 {
			c.log.Warnf("mqtt: %q stopped with %d publishes unfinished and %d messages unacknowledged", ev.ClientID, ev.Unfinished, ev.Unacknowledged)
		}
	}
}
