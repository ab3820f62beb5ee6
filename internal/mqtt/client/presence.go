package client

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Presence is what a client publishes about itself on its main connection.
type Presence struct {
	// Online is published after each connect.
	Online func(since time.Time) (*Message, error)
	// Offline is the will. It is also published before DISCONNECT, which removes the will
	// [MQTT-3.14.4-3].
	Offline *Message
}

// offlineGrace is the least time for publishing the offline message, offlineTimeout the
// longest: without it others would take the client for connected.
const (
	offlineGrace   = time.Second
	offlineTimeout = 5 * time.Second
)

// announcer publishes presence on the main connection.
type announcer struct {
	*Presence // nil publishes nothing
	main      func() *session.Session
	checks    *background
	log       logsafe.Log
}

// will returns the will of the main connection; def is the will without presence.
func (a *announcer) will(def *Message) *Message {
	if a.Presence != nil {
		return a.Offline
	}
	return def
}

// online publishes presence after a connect of the main connection.
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
			a.log.Warn("mqtt: presence is not published", logsafe.KeyError, err)
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
		a.log.Error("mqtt: the offline message is not published", logsafe.KeyError, err)
	}
}
