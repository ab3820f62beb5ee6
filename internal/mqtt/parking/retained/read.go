package retained

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// readTimeout bounds the wait for another read, and for what a few filters match.
const readTimeout = 30 * time.Second

// maxLetter is the largest packet that a read takes, in bytes, and about the
// largest letter that is written: one that could not be read back would be lost.
// On MQTT 3.1.1 a letter is a third larger than its payload, and more for what
// it says besides.
const maxLetter = 4 * session.DefaultMaxPacketSize

// Open opens a connection on which messages are read, which are passed to sink.
type Open func(sink session.Sink, maxPacket int) (*session.Session, error)

// Reader reads retained messages. It has a connection of its own for that, which is closed
// after each read: on the subscriber's they would wait for acknowledgements, which may be
// waiting for this. It is safe for concurrent use.
type Reader struct {
	open Open
	ends string        // prefix of the topics of messages that end a read
	turn chan struct{} // held while reading: one reader at a time uses the client id
}

// NewReader returns a reader. The service has to be allowed to publish and subscribe below its
// topics of dead letters, "dead-letter/<service>/end/".
func NewReader(service string, open Open) *Reader {
	return &Reader{open: open, ends: Prefix(service) + "end/read/", turn: make(chan struct{}, 1)}
}

// read has take see the retained messages of filters, one at a time, and those of
// a few filters after the other. An error of take ends it.
func (r *Reader) read(ctx context.Context, take taker, filters ...string) error {
	return r.reading(ctx, take, func(ctx context.Context, c *collector, reader *session.Session) error {
		return c.collect(ctx, reader, filters)
	})
}

// reading calls f with a connection whose messages go to take.
func (r *Reader) reading(ctx context.Context, take taker, f func(context.Context, *collector, *session.Session) error) error {
	if err := r.takeTurn(ctx); err != nil {
		return err
	}
	defer func() { <-r.turn }()
	id, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	c := &collector{take: take, end: r.ends + id.String(), arrived: make(chan struct{}, 1)}
	reader, err := r.open(c, maxLetter)
	if err != nil {
		return err
	}
	reader.Start()
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		reader.Close(ctx)
	}()
	return f(ctx, c, reader)
}

func (r *Reader) takeTurn(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	select {
	case r.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another read of retained messages: %w", ctx.Err())
	}
}

// taker takes the retained messages of a read, which is the only one to call it.
type taker interface {
	// keep takes a message that may not be kept itself, clear the topic of one
	// that was cleared meanwhile.
	keep(m *session.Inbound) error
	clear(topic string)
	// next begins with the messages of other filters.
	next()
}

// collector hands on the messages of a read, and notes when those of a few filters
// end.
type collector struct {
	take    taker
	end     string        // topic of the message that is sent when all of some filters are due
	arrived chan struct{} // of capacity 1

	mu    sync.Mutex
	count int
	mark  string // payload of the end that is waited for, which nobody knows before it is sent
	ended bool   // it came
	err   error  // of take
	group struct{ count, bytes int }
}

var _ session.Sink = (*collector)(nil)

// New implements [session.Sink].
func (c *collector) New(topic []byte, _ byte, _ int) *session.Inbound {
	return &session.Inbound{Topic: string(topic)}
}

// Deliver implements [session.Sink]. An empty message says that one was
// cleared.
func (c *collector) Deliver(m *session.Inbound) {
	defer m.Done()
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case m.Topic == c.end:
		if c.mark == "" || string(m.Payload) != c.mark {
			return // of somebody else
		}
		c.ended = true
	case len(m.Payload) == 0 && m.Oversize() == 0:
		c.take.clear(m.Topic)
	case c.err == nil:
		if m.Retain {
			c.count++
		}
		c.group.count++
		c.group.bytes += len(m.Topic) + len(m.Payload)
		c.err = c.take.keep(m)
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

// quietLimit is how long that is waited for: somebody may send on and on.
const quietLimit = 5 * time.Second

// collect subscribes to a few filters after the other. MQTT does not say when all
// retained messages were sent, so that a message of ours follows them.
// They come at QoS 0: at QoS 1 a broker queues them, and drops what its queue does
// not hold, which is 1,000 messages at Mosquitto as it is installed; at QoS 0 it
// drops those only that neither the socket nor that queue takes. The message of
// ours is of QoS 1, so that it is not dropped for them.
func (c *collector) collect(ctx context.Context, s *session.Session, filters []string) error {
	if err := subscribeAll(ctx, s, session.Filter{Filter: c.end, QoS: 1}); err != nil {
		return err
	}
	for group, i := 1, 0; i < len(filters); {
		if err := c.collectGroup(ctx, s, filters[i:min(i+group, len(filters))]); err != nil {
			return err
		}
		i, group = i+group, c.nextGroup(group)
	}
	over := time.After(quietLimit)
	taken := func() (count int, err error) {
		c.mu.Lock() // what was taken is seen after this
		defer c.mu.Unlock()
		return c.count, c.err
	}
	before, end := 0, time.After(quiet)
	for {
		select {
		case <-c.arrived:
			if now, _ := taken(); now != before { // live messages do not count
				before, end = now, time.After(quiet)
			}
		case <-end:
			_, err := taken()
			return err
		case <-over:
			_, err := taken()
			return err
		case <-ctx.Done():
			return c.late(ctx.Err(), filters[len(filters)-1])
		}
	}
}

// maxGroup is how many filters are subscribed to at once: as many, by those
// before, as match groupCount messages and groupBytes, which a socket takes.
const (
	maxGroup   = 8
	groupCount = 100
	groupBytes = 1 << 20
)

// next begins with the messages of other filters.
func (c *collector) next() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.group.count, c.group.bytes = 0, 0
	c.take.next()
}

// nextGroup returns how many filters come next after so many.
func (c *collector) nextGroup(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	fit := min(groupCount*n/max(1, c.group.count), groupBytes*n/max(1, c.group.bytes))
	return min(max(1, fit), maxGroup)
}

// collectGroup reads a few filters at once.
func (c *collector) collectGroup(ctx context.Context, s *session.Session, names []string) error {
	c.next()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	filters := make([]session.Filter, len(names))
	for i, name := range names {
		filters[i].Filter = name
	}
	if err := subscribeAll(ctx, s, filters...); err != nil {
		return err
	}
	return c.late(c.untilEnd(ctx, s), names[0])
}

func subscribeAll(ctx context.Context, s *session.Session, filters ...session.Filter) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	wishes := make([]session.Wish, len(filters))
	for i, f := range filters {
		var err error
		if wishes[i], err = s.Ask(f); err != nil {
			return err
		}
	}
	for _, w := range wishes {
		if err := w.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// silent is how long nothing may come before the end.
const silent = 20 * time.Millisecond

// untilEnd sends the message that ends the filters that were subscribed to last, and
// waits for it. While nothing comes it is sent again, at QoS 0, for a broker that has
// more to send and does so only when it hears from us: Mosquitto 2.0 may miss that its
// socket takes more again, and is silent until the next ping.
func (c *collector) untilEnd(ctx context.Context, s *session.Session) error {
	mark, err := uuid.NewRandom()
	if err != nil {
		return err
	}
	end := session.Message{Topic: c.end, Payload: []byte(mark.String())}
	c.mu.Lock()
	c.mark, c.ended = mark.String(), false
	c.mu.Unlock()
	sent, first := make(chan error, 1), end
	first.QoS, first.Done = 1, func(err error) { sent <- err }
	if err := s.Publish(ctx, &first); err != nil {
		return err
	}
	for {
		c.mu.Lock()
		over, err := c.ended, c.err
		c.mu.Unlock()
		if over || err != nil {
			return err
		}
		select {
		case err := <-sent:
			if err != nil {
				return err
			}
			sent = nil
		case <-c.arrived:
		case <-time.After(silent):
			again := end
			if err := s.Publish(ctx, &again); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// late is the error of a read that did not end in time.
func (c *collector) late(err error, filter string) error {
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Errorf("reading %q: %w: %d retained messages came, and the end of them, %q, did not: "+
		"the broker is slow, forbids that topic, or its queue for one client is too short (max_queued_messages of Mosquitto)",
		filter, err, c.count, c.end)
}
