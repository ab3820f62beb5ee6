package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
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

	mu      sync.Mutex
	ahead   *letterPage // what the last list read; nil is nothing
	letters int         // that there are, as far as is known here
	counted time.Time   // zero until they were
}

var _ deadletter.Store = (*retained)(nil)

func newRetained(c *Client) *retained {
	return &retained{client: c, turn: make(chan struct{}, 1), testing: make(chan struct{}, 1)}
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
	if err := s.room(ctx); err != nil {
		return err
	}
	m, err := r.encode(ctx, l, true)
	if err != nil {
		return err
	}
	m.Topic, m.Retain = s.topic(l.ID), true
	if n := packetOf(m); n > maxLetter {
		return fmt.Errorf("%w: about %d bytes, of which %d could be read back", deadletter.ErrUnfit, n, maxLetter)
	}
	err = s.publish(ctx, m)
	switch session.ReasonOf(err) {
	case "":
		if err == nil {
			s.note(1)
		}
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
	if id == "" || strings.ContainsAny(id, "+#/") {
		return nil, deadletter.ErrNotFound
	}
	var found oneMessage
	if err := s.read(ctx, &found, s.topic(id)); err != nil {
		return nil, err
	}
	if found.last == nil {
		return nil, deadletter.ErrNotFound
	}
	return letterIn(found.last, id), nil
}

// letterIn reads a letter. What cannot be read is one all the same, that says so
// and has the payload that is there, as in other stores: it may have been written
// on MQTT 5, whose properties MQTT 3.1.1 does not show.
func letterIn(m *message.Message, id string) *deadletter.Letter {
	l, err := deadletter.Decode(m)
	if err == nil {
		return l
	}
	l = &deadletter.Letter{ID: id, State: deadletter.Dead, Reason: reason(fmt.Errorf("letter cannot be read, on MQTT 5 it may be: %w", err))}
	l.Payload = m.Payload
	return l
}

// List implements [deadletter.Store]. The broker sends every letter there is for
// it, of which 32 MiB are kept for the pages that follow within 30 s. What cannot
// be read is listed with a reason that says so. With [deadletter.ErrIncomplete] the
// page may lack letters.
func (s *retained) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	s.mu.Lock()
	if p := s.ahead; p != nil && p.follows(q) {
		defer s.mu.Unlock()
		return p.page(q), p.incomplete()
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
	return p.page(q), p.incomplete()
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
	p := newLetterPage(s.client.cfg.letterPrefix(), q, !s.many.Load())
	var err error
	if p.atOnce {
		err = s.read(ctx, p, s.everywhere())
	}
	if errors.Is(err, errMany) {
		s.many.Store(true)
		p = newLetterPage(p.prefix, q, false)
	}
	if !p.atOnce {
		err = s.read(ctx, p, s.parts()...)
	}
	if err != nil {
		return nil, err
	}
	p.done()
	s.many.Store(p.count > fewCount && p.came > fewBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = p.count
	return p, nil
}

// recount is how often letters are counted while there is no room: others may
// have deleted some.
const recount = time.Minute

// room is [deadletter.ErrFull] at the bound. Letters are counted before the
// first one of a process, then what this process writes and deletes is followed.
// A count that fails stops no letter, and one that is incomplete is taken as it
// is, so that the bound may be exceeded by what did not come.
func (s *retained) room(ctx context.Context) error {
	s.mu.Lock()
	due := s.counted.IsZero() || s.letters >= s.client.cfg.MaxLetters && time.Since(s.counted) > recount
	if due {
		s.counted = time.Now()
	}
	s.mu.Unlock()
	if due {
		_, err := s.Stats(ctx)
		if err != nil {
			s.client.log.Warnf("mqtt: retained dead letters could not be counted: %v", err)
		}
		if err != nil && !errors.Is(err, deadletter.ErrIncomplete) {
			return nil
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.letters < s.client.cfg.MaxLetters {
		return nil
	}
	return fmt.Errorf("%w: there are %d retained letters, want fewer than %d", deadletter.ErrFull, s.letters, s.client.cfg.MaxLetters)
}

// note follows what this process writes and deletes.
func (s *retained) note(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.letters = max(0, s.letters+by)
}

// Delete implements [deadletter.Store]: an empty message clears what is
// retained [MQTT-3.3.1-6].
func (s *retained) Delete(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if err := s.publish(ctx, &Message{Topic: s.topic(id), QoS: 1, Retain: true}); err != nil {
			return err
		}
		s.note(-1)
		s.mu.Lock()
		if s.ahead != nil {
			s.ahead.without([]string{id})
		}
		s.mu.Unlock()
	}
	return nil
}

// Stats implements [deadletter.Store]. The broker sends every letter there is
// for it, of which nothing is kept. With [deadletter.ErrIncomplete] there are at
// least as many letters as it returns.
func (s *retained) Stats(ctx context.Context) (deadletter.Stats, error) {
	p, err := s.readAll(ctx, deadletter.Query{After: afterAll})
	if err != nil {
		return deadletter.Stats{}, err
	}
	return deadletter.Stats{Dead: p.count, Max: s.client.cfg.MaxLetters}, p.incomplete()
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

// testTimeout bounds one self-test, clearTimeout what it clears away.
const (
	testTimeout  = 10 * time.Second
	clearTimeout = time.Second
)

// test publishes a retained message, reads it back and clears it, until that
// went well once.
func (s *retained) test(ctx context.Context) error {
	if s.tested.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(testTimeout, s.client.cfg.StoreTimeout))
	defer cancel()
	select { // one test is enough for all that wait
	case s.testing <- struct{}{}:
		defer func() { <-s.testing }()
	case <-ctx.Done():
		return fmt.Errorf("self-test of retained messages: waiting for another one: %w", ctx.Err())
	}
	if s.tested.Load() {
		return nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	probe := &Message{Topic: s.client.cfg.letterPrefix() + "check/retained/" + id.String(), Payload: []byte(id.String()), QoS: 1, Retain: true}
	if err := s.probe(ctx, probe); err != nil {
		return fmt.Errorf("self-test of retained messages on %q: %w", probe.Topic, err)
	}
	if !s.tested.Swap(true) {
		s.client.log.Infof("mqtt: the broker keeps retained messages: dead letters go to %q", s.somewhere())
	}
	return nil
}

var errNotKept = errors.New("it was published and not read back: the broker does not keep retained messages, or not for us")

func (s *retained) probe(ctx context.Context, m *Message) (err error) {
	if err := s.publish(ctx, m); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTimeout)
		defer cancel()
		if e := s.publish(ctx, &Message{Topic: m.Topic, QoS: 1, Retain: true}); e != nil {
			err = errors.Join(err, fmt.Errorf("clearing: %w", e))
		}
	}()
	var found oneMessage
	if err := s.read(ctx, &found, m.Topic); err != nil {
		return err
	}
	if found.last == nil || string(found.last.Payload) != string(m.Payload) {
		return errNotKept
	}
	return nil
}

// checkRetained tests a chosen store before it is needed, until that goes well.
func (r *run) checkRetained(ctx context.Context) {
	s, ok := r.client.store.(*retained)
	if !ok || r.main().WaitReady(ctx) != nil {
		return
	}
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := s.test(ctx)
		if err != nil && ctx.Err() == nil {
			r.troubles.set(s, err)
			r.client.log.Errorf("mqtt: dead letters cannot be kept: %v", err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(0))
	if err == nil {
		r.troubles.clear(s)
	}
}
