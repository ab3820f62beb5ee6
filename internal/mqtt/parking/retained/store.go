// Package retained keeps dead letters as retained messages at the broker.
package retained

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Config configures a [Store]. All fields are required except Keys and those fields of
// Bounds that may be 0.
type Config struct {
	// Service is the name of the service whose dead letters are kept.
	Service string
	// Keys sign and verify dead letters: the first key signs, all keys verify. Without
	// keys, dead letters are neither signed nor verified.
	Keys deadletter.SigningKeys
	// Bounds limits how much is kept.
	Bounds deadletter.Bounds
	// Timeout bounds a self-test.
	Timeout time.Duration
	// Subscribes reports whether the service has a subscription for a topic.
	Subscribes func(topic string) bool
	// Publish publishes a message, and returns nil when the broker has acknowledged it.
	Publish func(ctx context.Context, m *session.Message) error
	// Protocol returns the protocol version of the connection.
	Protocol func(ctx context.Context) (session.Protocol, error)
	// Reader reads the dead letters.
	Reader *Reader
	// Log receives what an operator needs to know.
	Log logsafe.Log
}

// Store keeps each dead letter as a retained message at the broker. A broker does not have
// to support retained messages, nor to allow them to every client, so the first dead
// letter is preceded by a test. Store does not park messages. It is safe for concurrent
// use.
type Store struct {
	cfg    Config
	topics topics
	decode decoder
	tested atomic.Bool

	testing chan struct{} // held while testing
	many    atomic.Bool   // too many dead letters for a broker to send in one go

	mu    sync.Mutex
	ahead *listing // what the last List read ahead, or nil
	taken taken
}

var _ deadletter.Store = (*Store)(nil)

// New returns a store. It opens no connection before its first use.
func New(cfg Config) *Store {
	return &Store{
		cfg: cfg, topics: topics(Prefix(cfg.Service)),
		decode:  decoder{service: cfg.Service, keys: cfg.Keys, ours: cfg.Subscribes},
		testing: make(chan struct{}, 1), taken: newTaken(cfg.Bounds),
	}
}

// Put implements [deadletter.Store].
func (s *Store) Put(ctx context.Context, l *deadletter.Letter) error {
	if err := s.Test(ctx); err != nil {
		return err
	}
	m, err := s.encode(ctx, l)
	if err != nil {
		return err
	}
	m.Topic, m.Retain = s.topics.of(l.ID), true
	if n := packetOf(m); n > maxLetter {
		return fmt.Errorf("%w: about %d bytes, of which %d could be read back", deadletter.ErrUnfit, n, maxLetter)
	}
	giveBack, err := s.room(ctx, l.Origin(), l.Size())
	if err != nil {
		return err
	}
	if err = s.cfg.Publish(ctx, m); err != nil {
		giveBack()
	}
	switch event.ReasonOf(err) {
	case event.ReasonTooLarge, event.ReasonBadRequest:
		return fmt.Errorf("%w: %w", deadletter.ErrUnfit, err)
	case event.ReasonRefused:
		// The broker refuses this letter in every form, or refuses all letters now: test
		// again before the next one.
		s.tested.Store(false)
		return fmt.Errorf("%w: %w", deadletter.ErrUnfit, err)
	}
	return err
}

// encode returns a dead letter in its form on the wire, which depends on the protocol. The
// payload is never empty: an empty retained message deletes the retained one
// [MQTT-3.3.1-6].
func (s *Store) encode(ctx context.Context, l *deadletter.Letter) (*session.Message, error) {
	version, err := s.cfg.Protocol(ctx)
	if err != nil {
		return nil, err
	}
	m, err := s.cfg.Keys.Encode(l, version != session.Version31 && len(l.Payload) > 0)
	if err != nil {
		return nil, err
	}
	return envelope.Outgoing(m), nil
}

// packetOf returns the approximate size of a message in bytes, and never less than the
// size.
func packetOf(m *session.Message) int {
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
func (s *Store) Get(ctx context.Context, id string) (*deadletter.Letter, error) {
	topic := s.topics.of(id)
	if id == "" || s.topics.id(topic) == "" {
		return nil, deadletter.ErrNotFound
	}
	var found oneMessage
	if err := s.cfg.Reader.read(ctx, &found, topic); err != nil {
		return nil, err
	}
	if found.last == nil {
		return nil, deadletter.ErrNotFound
	}
	l, counts := s.decode.letter(found.last, s.topics.id(topic))
	if counts {
		s.taken.saw(l)
	}
	return l, nil
}

// List implements [deadletter.Store]. The broker sends all dead letters for it, of which
// 32 MiB are kept for the following pages for 30 s. A letter that cannot be read is listed
// with a reason, and one that somebody else may have written is listed as suspect. A
// retained message on a topic where no letter belongs is listed with its topic as the id.
// With [deadletter.ErrIncomplete] the page may lack letters.
func (s *Store) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
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

// forget drops what was read ahead.
func (s *Store) forget(p *listing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ahead == p {
		s.ahead = nil
	}
}

// readAll reads all letters: in one read if the broker sends that many at once, else in
// parts.
func (s *Store) readAll(ctx context.Context, q deadletter.Query) (*listing, error) {
	p := s.newListing(q, !s.many.Load())
	var err error
	if p.atOnce {
		err = s.cfg.Reader.read(ctx, p, s.topics.all())
	}
	if errors.Is(err, errMany) {
		s.many.Store(true)
		p = s.newListing(q, false)
	}
	if !p.atOnce {
		err = s.cfg.Reader.read(ctx, p, s.topics.parts()...)
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

// newListing returns an empty listing. It counts the letters of each origin if all letters
// are read.
func (s *Store) newListing(q deadletter.Query, atOnce bool) *listing {
	p := newListing(s.topics, q, atOnce)
	p.decode = s.decode
	if q.After == afterAll {
		p.usage = deadletter.NewUsage(s.cfg.Bounds)
	}
	return p
}

// Delete implements [deadletter.Store]. An empty message clears the retained one
// [MQTT-3.3.1-6]. A letter that the broker refuses to clear does not stop the deletion of
// the others; the error then wraps [deadletter.ErrUnfit].
func (s *Store) Delete(ctx context.Context, ids ...string) error {
	var refused []error
	for _, id := range ids {
		topic := s.topics.of(id)
		if s.topics.id(topic) == "" {
			continue // no letter is there
		}
		err := s.cfg.Publish(ctx, &session.Message{Topic: topic, QoS: 1, Retain: true})
		switch event.ReasonOf(err) {
		case "":
		case event.ReasonBadTopic, event.ReasonBadRequest, event.ReasonNotAuthorized, event.ReasonRefused:
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

// Stats implements [deadletter.Store]. The broker sends all dead letters for it, and none
// is kept in memory. With [deadletter.ErrIncomplete] there are at least as many letters as
// it returns.
func (s *Store) Stats(ctx context.Context) (deadletter.Stats, error) {
	p, err := s.readAll(ctx, deadletter.Query{After: afterAll})
	if err != nil {
		return deadletter.Stats{}, err
	}
	return deadletter.Stats{Dead: p.count, Max: s.cfg.Bounds.Letters, Bytes: p.size, MaxBytes: s.cfg.Bounds.Bytes}, p.incomplete()
}

// afterAll sorts after every id.
const afterAll = "\U0010FFFF"

// Parks implements [deadletter.Store].
func (s *Store) Parks() bool { return false }

// Destination is where the dead letter with an id is kept.
func (s *Store) Destination(id string) string { return s.topics.of(id) }

// String describes the store.
func (s *Store) String() string { return "retained messages " + s.topics.String() }
