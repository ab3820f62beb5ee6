package client

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Presence is what a client tells of itself on its main connection.
type Presence struct {
	// Online is published after each connect.
	Online func(since time.Time) (*Message, error)
	// Offline is the will, and published before DISCONNECT, which takes the will
	// back [MQTT-3.14.4-3].
	Offline *Message
}

// offlineGrace is what the last message has at least, and offlineTimeout at
// most: without it everybody would go on taking the client for connected.
const (
	offlineGrace   = time.Second
	offlineTimeout = 5 * time.Second
)

// Announce has the client tell of itself from the next Start on. It is an error
// beside a will.
func (c *Client) Announce(p *Presence) error {
	if w := c.cfg.Will; w != nil {
		return fmt.Errorf("a will is configured, on topic %q, and a connection has one", w.Topic)
	}
	if err := c.Check(p.Offline); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.presence = p
	return nil
}

// will is that of the main connection. The client's lock is held.
func (r *run) will() *Message {
	if r.presence != nil {
		return r.presence.Offline
	}
	return r.client.cfg.Will
}

// online tells of a connection of main's.
func (r *run) online(e session.Event, main bool) {
	if _, ok := e.(session.Connected); !ok || !main || r.presence == nil {
		return
	}
	since := time.Now()
	r.checks.run(func(ctx context.Context) {
		m, err := r.presence.Online(since)
		if err == nil {
			err = r.main().Publish(ctx, m)
		}
		if err != nil && ctx.Err() == nil {
			r.client.log.Warnf("mqtt: presence is not published: %v", err)
		}
	})
}

// offline is told while there is a connection; without one the broker tells it.
func (r *run) offline(ctx context.Context) {
	if r.presence == nil || !r.main().Status().Connected {
		return
	}
	left := offlineTimeout
	if d, ok := ctx.Deadline(); ok {
		left = min(left, max(offlineGrace, time.Until(d)))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	if err := r.main().Publish(ctx, r.presence.Offline); err != nil {
		r.client.log.Errorf("mqtt: the end of presence is not published: %v", err)
	}
}
