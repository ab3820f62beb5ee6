package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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
}

var _ deadletter.Store = (*retained)(nil)

func newRetained(c *Client) *retained { return &retained{client: c, turn: make(chan struct{}, 1)} }

// Put implements [deadletter.Store].
func (s *retained) Put(ctx context.Context, l *deadletter.Letter) error {
	if err := s.test(ctx); err != nil {
		return err
	}
	r := s.client.publishing()
	if r == nil {
		return errNotStarted
	}
	m, err := r.encode(ctx, l, true)
	if err != nil {
		return err
	}
	m.Topic, m.Retain = s.topic(l.ID), true
	err = s.publish(ctx, m)
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

// Get implements [deadletter.Store].
func (s *retained) Get(ctx context.Context, id string) (*deadletter.Letter, error) {
	if id == "" || strings.ContainsAny(id, "+#/") {
		return nil, deadletter.ErrNotFound
	}
	found, err := s.read(ctx, s.topic(id))
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		return deadletter.Decode(m)
	}
	return nil, deadletter.ErrNotFound
}

// List implements [deadletter.Store]. It reads every letter there is. What is
// no letter is left out.
func (s *retained) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	found, err := s.read(ctx, s.topic("+"))
	if err != nil {
		return nil, err
	}
	var page []*deadletter.Letter
	for _, m := range found {
		if l, err := deadletter.Decode(m); err == nil && q.Matches(l) {
			page = append(page, l)
		}
	}
	slices.SortFunc(page, func(a, b *deadletter.Letter) int { return cmp.Compare(a.ID, b.ID) })
	return page[:min(len(page), cmp.Or(max(q.Limit, 0), deadletter.DefaultPage))], nil
}

// Delete implements [deadletter.Store]: an empty message clears what is
// retained [MQTT-3.3.1-6].
func (s *retained) Delete(ctx context.Context, ids ...string) error {
	for _, id := range ids {
		if err := s.publish(ctx, &Message{Topic: s.topic(id), QoS: 1, Retain: true}); err != nil {
			return err
		}
	}
	return nil
}

// Stats implements [deadletter.Store]. It reads every letter there is.
func (s *retained) Stats(ctx context.Context) (deadletter.Stats, error) {
	found, err := s.read(ctx, s.topic("+"))
	return deadletter.Stats{Dead: len(found)}, err
}

// Parks implements [deadletter.Store].
func (s *retained) Parks() bool { return false }

// String describes the store.
func (s *retained) String() string { return "retained messages " + s.topic("<id>") }

func (s *retained) topic(id string) string { return s.client.cfg.letterPrefix() + id }

func (s *retained) publish(ctx context.Context, m *Message) error {
	r := s.client.publishing()
	if r == nil {
		return errNotStarted
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
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	probe := &Message{Topic: s.topic("check/" + id.String()), Payload: []byte(id.String()), QoS: 1, Retain: true}
	if err := s.probe(ctx, probe); err != nil {
		return fmt.Errorf("self-test of retained messages on %q: %w", probe.Topic, err)
	}
	if !s.tested.Swap(true) {
		s.client.log.Infof("mqtt: the broker keeps retained messages: dead letters go to %q", s.topic("<id>"))
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
	found, err := s.read(ctx, m.Topic)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(found, func(f *message.Message) bool { return string(f.Payload) == string(m.Payload) }) {
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
