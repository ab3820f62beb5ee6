package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// readerSuffix makes the client id of the connection that retained messages
// are read on.
const readerSuffix = "-" + readerWord

// readTimeout bounds a read whose context has no deadline.
const readTimeout = 30 * time.Second

// read gives the retained messages of a filter. It has a connection of its own
// for that: on the subscriber's they would wait for acknowledgements, which may
// be waiting for this.
func (s *retained) read(ctx context.Context, filter string) ([]*message.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r := s.client.publishing()
	if r == nil {
		return nil, errNotStarted
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	c := &collector{end: s.topic("end/" + id.String()), arrived: make(chan struct{}, 1), ended: make(chan struct{})}
	cfg := s.client.cfg.session(r.id + s.client.cfg.PublisherSuffix + readerSuffix)
	cfg.Negotiation, cfg.Sink, cfg.CleanSession, cfg.SessionExpiry = r.version, c, true, 0
	reader, err := session.New(cfg)
	if err != nil {
		return nil, err
	}
	reader.Start()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		reader.Close(ctx)
	}()
	return c.collect(ctx, reader, filter)
}

// collector takes the messages of a read.
type collector struct {
	end     string        // topic of the message that is sent when all are due
	arrived chan struct{} // of capacity 1
	ended   chan struct{}

	mu    sync.Mutex
	found map[string]*message.Message
	over  bool
}

var _ session.Sink = (*collector)(nil)

// New implements [session.Sink].
func (c *collector) New(byte, int) *session.Inbound { return new(session.Inbound) }

// Deliver implements [session.Sink]. An empty message says that one was
// cleared.
func (c *collector) Deliver(m *session.Inbound) {
	defer m.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.Topic == c.end:
		if !c.over {
			c.over = true
			close(c.ended)
		}
	case len(m.Payload) == 0:
		delete(c.found, m.Topic)
	default:
		if c.found == nil {
			c.found = make(map[string]*message.Message)
		}
		kept := Kept(m)
		c.found[m.Topic] = &kept
	}
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

// Batch implements [session.Sink].
func (c *collector) Batch() {}

// quiet is how long nothing may come after the end: some brokers send what
// they retain beside the rest.
const quiet = 100 * time.Millisecond

// collect subscribes. MQTT does not say when all retained messages were sent,
// so that a message of ours follows them.
func (c *collector) collect(ctx context.Context, s *session.Session, filter string) ([]*message.Message, error) {
	for _, f := range []string{c.end, filter} {
		if err := s.Subscribe(ctx, session.Filter{Filter: f, QoS: 1}); err != nil {
			return nil, err
		}
	}
	if err := s.Publish(ctx, &Message{Topic: c.end, QoS: 1}); err != nil {
		return nil, err
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		return nil, fmt.Errorf("reading %q: %w", filter, ctx.Err())
	}
	for {
		select {
		case <-c.arrived:
		case <-time.After(quiet):
			return c.list(), nil
		case <-ctx.Done():
			return nil, fmt.Errorf("reading %q: %w", filter, ctx.Err())
		}
	}
}

func (c *collector) list() (all []*message.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, m := range c.found {
		all = append(all, m)
	}
	return all
}
