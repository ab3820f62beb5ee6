package retained

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// testTimeout bounds one self-test, clearTimeout what it clears away.
const (
	testTimeout  = 10 * time.Second
	clearTimeout = time.Second
)

// probes is the number of probes that are published when somebody else clears each of
// them.
const probes = 3

// Test publishes a retained message, reads it back and clears it. Once that has succeeded,
// Test does nothing. A client that may write to the topic can clear the probe before it is
// read back, and could clear each dead letter as well. That is reported; after a few such
// probes the test passes, because otherwise that client could stop the service permanently.
func (s *Store) Test(ctx context.Context) error {
	if s.tested.Load() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(testTimeout, s.cfg.Timeout))
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
	var topic string
	var err error
	for range probes {
		if topic, err = s.probe(ctx); !errors.Is(err, errCleared) {
			break
		}
	}
	if errors.Is(err, errCleared) {
		s.cfg.Log.Error("mqtt: somebody else clears retained messages, and can clear dead letters: "+
			"want access rules that let only this service write there", logsafe.KeyDestination, string(s.topics))
		err = nil
	}
	if err != nil {
		return fmt.Errorf("self-test of retained messages on %q: %w", topic, err)
	}
	if !s.tested.Swap(true) {
		s.cfg.Log.Info("mqtt: the broker keeps retained messages, which dead letters are", logsafe.KeyDestination, s.topics.String())
	}
	return nil
}

var (
	errNotKept = errors.New("it was published and not read back: the broker does not keep retained messages, or not for us")
	errCleared = errors.New("somebody else cleared it before it was read back")
)

// probe publishes a message on a topic that nobody can guess, and reads it back. It
// subscribes to the topic first, to notice when somebody clears it.
func (s *Store) probe(ctx context.Context) (topic string, err error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	below := string(s.topics) + "check/"
	m := &session.Message{Topic: below + "retained/" + id.String(), Payload: []byte(id.String()), QoS: 1, Retain: true}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), clearTimeout)
		defer cancel()
		if e := s.cfg.Publish(ctx, &session.Message{Topic: m.Topic, QoS: 1, Retain: true}); e != nil && err == nil {
			err = fmt.Errorf("clearing: %w", e)
		}
	}()
	found := &probed{topic: m.Topic, payload: id.String()}
	err = s.cfg.Reader.reading(ctx, found, func(ctx context.Context, c *collector, reader *session.Session) error {
		if err := subscribeAll(ctx, reader, session.Filter{Filter: below + "+/" + id.String()}); err != nil {
			return err
		}
		if err := s.cfg.Publish(ctx, m); err != nil {
			return err
		}
		// a different filter for the same topic, for which the broker sends retained
		// messages
		return c.collect(ctx, reader, []string{m.Topic})
	})
	if err == nil {
		err = found.err()
	}
	return m.Topic, err
}

// probed takes the messages on the topic of a probe.
type probed struct {
	topic, payload string

	mu            sync.Mutex
	kept, cleared bool
}

func (p *probed) keep(m *session.Inbound) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.Topic == p.topic && m.Retain {
		p.kept = p.kept || string(m.Payload) == p.payload
	}
	// A probe that somebody else overwrote counts as cleared.
	p.cleared = p.cleared || m.Topic == p.topic && string(m.Payload) != p.payload
	return nil
}

func (p *probed) clear(topic string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleared = p.cleared || topic == p.topic
}

func (p *probed) next() {}

func (p *probed) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.kept:
		return nil
	case p.cleared:
		return errCleared
	}
	return errNotKept
}

// Ensure runs the self-test before it is needed, until it succeeds or ctx ends. It passes
// each error to failed.
func (s *Store) Ensure(ctx context.Context, failed func(error)) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := s.Test(ctx)
		if err != nil && ctx.Err() == nil {
			failed(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(0))
	return err
}
