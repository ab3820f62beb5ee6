package client

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// onDemand is a connection that is opened when first needed. Its client id is that
// of one client in a process.
type onDemand struct {
	cfg  *Config
	open func() (*session.Session, error)

	mu      sync.Mutex
	session *session.Session
	release func() // its client id
	closed  bool
}

var errStopped = errors.New("stopped")

// get returns the session, connecting it when first used. After close it is an
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
			s.Close(context.Background()) // it was not started: this does not wait
			return nil, err
		}
		o.session = s
		s.Start()
	}
	return o.session, nil
}

// made returns the session that there is; nil for none.
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

// clean are the settings of a session of this run that the broker keeps
// nothing of. Its client id ends as the publisher's does, with another word.
func (r *run) clean(word string) session.Config {
	cfg := r.client.cfg.session(r.id + strings.TrimSuffix(r.client.cfg.PublisherSuffix, publisherWord) + word)
	cfg.Negotiation, cfg.CleanSession, cfg.SessionExpiry = r.version, true, 0
	cfg.Notify = func(e session.Event) { r.events.add(e, false) }
	return cfg
}

// The words that client ids end with.
const (
	publisherWord = "pub"
	serverWord    = "srv" // before those of a server
	readerWord    = "letters"
	inboxWord     = "req"   // replies to our requests
	answerWord    = "reply" // our answers to requests
)

// Answer publishes the answer to a request as [Client.Publish] does, on a
// connection of its own: what cannot be delivered there holds up nothing that is
// published, nor the other way round.
func (c *Client) Answer(ctx context.Context, m *Message) error {
	r, err := c.mayPublish(m)
	if err != nil {
		return err
	}
	s, err := r.answers.get()
	if err == nil {
		r.provable(m)
		err = s.Publish(ctx, m)
	}
	if err == nil && m.Properties != nil {
		c.accepted(r, m)
	}
	return err
}

// answersSuspect is for how long after the loss of their connection answers of QoS 0
// are sent as QoS 1.
const answersSuspect = time.Minute

// openAnswers makes the session of our answers to requests, and notes when its
// connection is lost.
func (r *run) openAnswers() (*session.Session, error) {
	cfg := r.clean(answerWord)
	cfg.Rash = true // a stranger chose where it goes, and the next one's answer waits
	told := cfg.Notify
	cfg.Notify = func(e session.Event) {
		if _, ok := e.(session.ConnectionLost); ok {
			now := time.Now()
			r.answersLost.Store(&now)
		}
		told(e)
	}
	return session.New(cfg)
}

// provable makes an answer one that can be found out to end connections, when one
// has been lost: of QoS 0 nobody knows whether the broker took it.
func (r *run) provable(m *Message) {
	if lost := r.answersLost.Load(); m.QoS == 0 && lost != nil && time.Since(*lost) < answersSuspect {
		m.QoS = 1
	}
}
