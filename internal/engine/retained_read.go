package engine

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// readerSuffix makes the client id of the connection that retained messages
// are read on.
const readerSuffix = "-" + readerWord

// readTimeout bounds a read whose context has no deadline.
const readTimeout = 30 * time.Second

// maxLetter is the largest packet that a read takes, in bytes, and about the
// largest letter that is written: one that could not be read back would be lost.
// On MQTT 3.1.1 a letter is a third larger than its payload, and more for what
// it says besides.
const maxLetter = 4 * session.DefaultMaxPacketSize

// read has take see the retained messages of a filter, one at a time. It has a
// connection of its own for that: on the subscriber's they would wait for
// acknowledgements, which may be waiting for this.
func (s *retained) read(ctx context.Context, filter string, take taker) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	r := s.client.publishing()
	if r == nil {
		return s.client.absence()
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	c := &collector{take: take, end: s.topic("end/" + id.String()), arrived: make(chan struct{}, 1), ended: make(chan struct{})}
	cfg := s.client.cfg.session(r.id + s.client.cfg.PublisherSuffix + readerSuffix)
	cfg.Negotiation, cfg.Sink, cfg.CleanSession, cfg.SessionExpiry = r.version, c, true, 0
	cfg.MaxPacketSize = maxLetter
	reader, err := session.New(cfg)
	if err != nil {
		return err
	}
	reader.Start()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		reader.Close(ctx)
	}()
	return c.collect(ctx, reader, filter)
}

// taker takes the retained messages of a read, which is the only one to call it.
type taker interface {
	// keep takes a message that may not be kept itself, clear the topic of one
	// that was cleared meanwhile.
	keep(m *session.Inbound)
	clear(topic string)
}

// collector hands on the messages of a read, and notes when they end.
type collector struct {
	take    taker
	end     string        // topic of the message that is sent when all are due
	arrived chan struct{} // of capacity 1
	ended   chan struct{}

	mu    sync.Mutex
	count int
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
	case len(m.Payload) == 0 && m.Oversize == 0:
		c.take.clear(m.Topic)
	default:
		c.count++
		c.take.keep(m)
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
// so that a message of ours follows them. They come at QoS 0: at QoS 1 a broker
// queues them, and drops what its queue does not hold, which is 1,000 messages
// at Mosquitto as it is installed; at QoS 0 it drops those only that the socket
// does not take at once. The message of ours is of QoS 1, whose queue
// is empty then, so that it is not dropped for them.
func (c *collector) collect(ctx context.Context, s *session.Session, filter string) error {
	for _, f := range []session.Filter{{Filter: c.end, QoS: 1}, {Filter: filter}} {
		if err := s.Subscribe(ctx, f); err != nil {
			return err
		}
	}
	if err := s.Publish(ctx, &Message{Topic: c.end, QoS: 1}); err != nil {
		return err
	}
	select {
	case <-c.ended:
	case <-ctx.Done():
		return c.late(ctx, filter)
	}
	for {
		select {
		case <-c.arrived:
		case <-time.After(quiet):
			c.mu.Lock() // what was taken is seen after this
			defer c.mu.Unlock()
			return nil
		case <-ctx.Done():
			return c.late(ctx, filter)
		}
	}
}

// late is the error of a read that did not end in time.
func (c *collector) late(ctx context.Context, filter string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("reading %q: %w: %d retained messages came, and the end of them, %q, did not: "+
		"the broker is slow, forbids that topic, or its queue for one client is too short (max_queued_messages of Mosquitto)",
		filter, ctx.Err(), c.count, c.end)
}
