package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// answers has the connection for our replies to requests.
type answers struct {
	conn onDemand
	lost atomic.Pointer[time.Time] // when the connection was last lost; nil means never
}

// answersSuspect is how long after the loss of their connection replies of QoS 0 are sent
// as QoS 1.
const answersSuspect = time.Minute

func (a *answers) init(c *connector) {
	a.conn.cfg = c.cfg
	a.conn.open = func() (*session.Session, error) {
		cfg := c.clean(answerWord)
		cfg.Rash = true // the requester chose the topic, and other replies wait
		notify := cfg.Notify
		cfg.Notify = func(e session.Event) {
			if _, ok := e.(session.ConnectionLost); ok {
				now := time.Now()
				a.lost.Store(&now)
			}
			notify(e)
		}
		return session.New(cfg)
	}
}

// publish sends a reply. After a loss of the connection it uses QoS 1 instead of 0: an
// unacknowledged message can be found to be the cause of the next loss.
func (a *answers) publish(ctx context.Context, m *Message) error {
	s, err := a.conn.get()
	if err != nil {
		return err
	}
	if lost := a.lost.Load(); m.QoS == 0 && lost != nil && time.Since(*lost) < answersSuspect {
		m.QoS = 1
	}
	return s.Publish(ctx, m)
}
