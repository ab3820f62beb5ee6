package client

import (
	"context"
	"errors"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// onDemand is a connection that is opened when first needed. Its client id is used by one
// client of a process only.
type onDemand struct {
	cfg  *Config
	open func() (*session.Session, error)

	mu      sync.Mutex
	session *session.Session
	release func() // releases its client id
	closed  bool
}

var errStopped = errors.New("stopped")

// get returns the session, and connects it when first used. After close it returns an
// error.
func (o *onDemand) get() (*session.Session, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil, &event.Error{Op: "connect", Reason: event.ReasonClosed, Cause: errStopped}
	}
	if o.session == nil {
		s, err := o.open()
		if err != nil {
			return nil, err
		}
		if o.release, err = o.cfg.claim(s.ClientID()); err != nil {
			s.Close(context.Background()) // it was not started, so this does not wait
			return nil, err
		}
		o.session = s
		s.Start()
	}
	return o.session, nil
}

// made returns the session if there is one, or nil.
func (o *onDemand) made() *session.Session {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.session
}

func (o *onDemand) close(ctx context.Context) {
	o.mu.Lock()
	o.closed = true
	s := o.session
	o.mu.Unlock()
	if s != nil {
		s.Close(ctx)
		o.release()
	}
}
