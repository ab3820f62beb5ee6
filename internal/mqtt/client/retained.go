package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// retained keeps each dead letter as a retained message at the broker, which
// MQTT does not have to keep, nor the broker for everybody: hence the test
// before the first one. It does not park.
type retained struct {
	client *Client
	turn   chan struct{} // of who reads; one at a time has the client id
	tested atomic.Bool

	testing chan struct{} // of who tests
	many    atomic.Bool   // letters, too many for a broker to send in one go

	mu    sync.Mutex
	ahead *letterPage // what the last list read; nil is nothing
	taken taken
}

var _ deadletter.Store = (*retained)(nil)

func newRetained(c *Client) *retained {
	return &retained{client: c, turn: make(chan struct{}, 1), testing: make(chan struct{}, 1), taken: newTaken(c.cfg.letterBounds())}
}

// Put implements [deadletter.Store].
func (s *retained) Put(ctx context.Context, l *deadletter.Letter) error {
	if err := s.test(ctx); err != nil {
		return err
	}
	r := s.client.publishing()
	if r == nil {
		return s.client.absence()
	}
	m, err := r.encode(ctx, l, true)
	if err != nil {
		return err
	}
	m.Topic, m.Retain = s.topic(l.ID), true
	if n := packetOf(m); n > maxLetter {
		return fmt.Errorf("%w: about %d bytes, of which %d could be read back", deadletter.ErrUnfit, n, maxLetter)
	}
	giveBack, err := s.room(ctx, l.Origin(), l.Size())
	if err != nil {
		return err
	}
	if err = s.publish(ctx, m); err != nil {
		giveBack()
	}
	switch session.ReasonOf(err) {
	case session.ReasonTooLarge, session.ReasonBadRequest:
		return fmt.Errorf("%w: %w", deadletter.ErrUnfit, err)
	case session.ReasonRefused:
		// The broker takes the letter in no form, or no letters any more: the next
		// one tests that first.
		s.tested.Store(false)
		return fmt.Errorf("%w: %w", deadletter.ErrUnfit, err)
	}
	return err
}

// packetOf is about how many bytes a message takes, and not less.
func packetOf(m *Message) int {
	n := 1<<10 + len(m.Topic) + len(m.Payload)
	if p := m.Properties; p != nil {
		n += len(p.ContentType) + len(p.ResponseTopic) + len(p.CorrelationData)
		for _, u := range p.User {
			n += 5 + len(u.Key) + len(u.Value)
		}
	}
	return n
}

// Get implements [deadletter.Store].
func (s *retained) Get(ctx context.Context, id string) (*deadletter.Letter, error) {
	topic := s.topic(id)
	if id == "" || letterID(s.client.cfg.letterPrefix(), topic) == "" {
		return nil, deadletter.ErrNotFound
	}
	var found oneMessage
	if err := s.read(ctx, &found, topic); err != nil {
		return nil, err
	}
	if found.last == nil {
		return nil, deadletter.ErrNotFound
	}
	l, counts := s.client.letterCheck().letter(found.last, letterID(s.client.cfg.letterPrefix(), topic))
	if counts {
		s.taken.saw(l)
	}
	return l, nil
}

// List implements [deadletter.Store]. The broker sends every letter there is for
// it, of which 32 MiB are kept for the pages that follow within 30 s. What cannot
// be read is listed with a reason that says so, and what somebody else may have written
// as suspect. What is retained where no letter belongs has its topic for an id. With
// [deadletter.ErrIncomplete] the page may lack letters.
func (s *retained) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	s.mu.Lock()
	if p := s.ahead; p != nil && p.follows(q) {
		defer s.mu.Unlock()
		return s.taken.sawPage(p, p.page(q)), p.incomplete()
	}
	s.ahead = nil
	s.mu.Unlock()
	p, err := s.readAll(ctx, q)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(p.sorted) > 0 {
		s.ahead = p
		time.AfterFunc(readAheadAge, func() { s.forget(p) })
	}
	return s.taken.sawPage(p, p.page(q)), p.incomplete()
}

// forget lets go of what was read ahead.
func (s *retained) forget(p *letterPage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ahead == p {
		s.ahead = nil
	}
}

// readAll reads every letter: all at once where a broker sends as many in one go,
// else part by part.
func (s *retained) readAll(ctx context.Context, q deadletter.Query) (*letterPage, error) {
	p := s.newPage(q, !s.many.Load())
	var err error
	if p.atOnce {
		err = s.read(ctx, p, s.everywhere())
	}
	if errors.Is(err, errMany) {
		s.many.Store(true)
		p = s.newPage(q, false)
	}
	if !p.atOnce {
		err = s.read(ctx, p, s.parts()...)
	}
	if err != nil {
		return nil, err
	}
	p.done()
	s.many.Store(p.count > fewCount && p.came > fewBytes)
	if p.usage != nil {
		s.taken.set(p.usage, p.began)
	}
	return p, nil
}

// newPage counts the letters of each origin where all are counted.
func (s *retained) newPage(q deadletter.Query, atOnce bool) *letterPage {
	p := newLetterPage(s.client.cfg.letterPrefix(), q, atOnce)
	p.check = s.client.letterCheck()
	if q.After == afterAll {
		p.usage = deadletter.NewUsage(s.client.cfg.letterBounds())
	}
	return p
}

// Delete implements [deadletter.Store]: an empty message clears what is
// retained [MQTT-3.3.1-6]. One that the broker refuses to clear does not stop the
// others: the error wraps [deadletter.ErrUnfit] then.
func (s *retained) Delete(ctx context.Context, ids ...string) error {
	var refused []error
	for _, id := range ids {
		topic := s.topic(id)
		if letterID(s.client.cfg.letterPrefix(), topic) == "" {
			continue // no letter is there
		}
		err := s.publish(ctx, &Message{Topic: topic, QoS: 1, Retain: true})
		switch session.ReasonOf(err) {
		case "":
		case session.ReasonBadTopic, session.ReasonBadRequest, session.ReasonNotAuthorized, session.ReasonRefused:
			refused = append(refused, fmt.Errorf("%w: clearing %q: %w", deadletter.ErrUnfit, topic, err))
			continue
		}
		if err != nil {
			return err
		}
		s.taken.gone(id)
		s.mu.Lock()
		if s.ahead != nil {
			s.ahead.without([]string{id})
		}
		s.mu.Unlock()
	}
	return errors.Join(refused...)
}

// Stats implements [deadletter.Store]. The broker sends every letter there is
// for it, of which nothing is kept. With [deadletter.ErrIncomplete] there are at
// least as many letters as it returns.
func (s *retained) Stats(ctx context.Context) (deadletter.Stats, error) {
	p, err := s.readAll(ctx, deadletter.Query{After: afterAll})
	if err != nil {
		return deadletter.Stats{}, err
	}
	of := s.client.cfg.letterBounds()
	return deadletter.Stats{Dead: p.count, Max: of.Letters, Bytes: p.size, MaxBytes: of.Bytes}, p.incomplete()
}

// afterAll is behind every id.
const afterAll = "\U0010FFFF"

// Parks implements [deadletter.Store].
func (s *retained) Parks() bool { return false }

// String describes the store.
func (s *retained) String() string { return "retained messages " + s.somewhere() }

func (s *retained) publish(ctx context.Context, m *Message) error {
	r := s.client.publishing()
	if r == nil {
		return s.client.absence()
	}
	return r.pubs.of(m.Topic).Publish(ctx, m)
}
