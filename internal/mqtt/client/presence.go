package client

import (
	"context"
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

// announcer tells of the client on its main connection.
type announcer struct {
	*Presence // nil tells nothing
	main      func() *session.Session
	checks    *background
	log       Logger
}

// will is that of the main connection; def is what it is without presence.
func (a *announcer) will(def *Message) *Message {
	if a.Presence != nil {
		return a.Offline
	}
	return def
}

// online tells of a connection of main's.
func (a *announcer) online(e session.Event, main bool) {
	if _, ok := e.(session.Connected); !ok || !main || a.Presence == nil {
		return
	}
	since := time.Now()
	a.checks.run(func(ctx context.Context) {
		m, err := a.Online(since)
		if err == nil {
			err = a.main().Publish(ctx, m)
		}
		if err != nil && ctx.Err() == nil {
			a.log.Warnf("mqtt: presence is not published: %v", err)
		}
	})
}

// offline publishes the offline message while there is a connection. Without one, the
// broker publishes it as the will.
func (a *announcer) offline(ctx context.Context) {
	if a.Presence == nil || !a.main().Status().Connected {
		return
	}
	left := offlineTimeout
	if d, ok := ctx.Deadline(); ok {
		left = min(left, max(offlineGrace, time.Until(d)))
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), left)
	defer cancel()
	if err := a.main().Publish(ctx, a.Offline); err != nil {
		a.log.Errorf("mqtt: the end of presence is not published: %v", err)
	}
}
