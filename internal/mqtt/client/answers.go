package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// answers are our answers to requests, and their connection.
type answers struct {
	conn onDemand
	lost atomic.Pointer[time.Time] // the connection, last; nil is not
}

// answersSuspect is for how long after the loss of their connection answers of QoS 0
// are sent as QoS 1.
const answersSuspect = time.Minute

func (a *answers) init(c *connector) {
	a.conn.cfg = c.cfg
	a.conn.open = func() (*session.Session, error) {
		cfg := c.clean(answerWord)
		cfg.Rash = true // a stranger chose where it goes, and the next one's answer waits
		told := cfg.Notify
		cfg.Notify = func(e session.Event) {
			if _, ok := e.(session.ConnectionLost); ok {
				now := time.Now()
				a.lost.Store(&now)
			}
			told(e)
		}
		return session.New(cfg)
	}
}

// publish makes an answer one that can be found out to end connections, when one
// has been lost: of QoS 0 nobody knows whether the broker took it.
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
