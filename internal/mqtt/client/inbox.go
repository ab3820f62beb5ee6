package client

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// MaxInboxes bounds the topics for replies that are subscribed to at a time.
const MaxInboxes = 64

// inboxes are the topics that replies to our requests come on, and their
// session. What arrives there is taken on its read loop and acknowledged at
// once, so that no handler that waits for a reply holds it up.
type inboxes struct {
	conn  onDemand
	own   string        // the client's, for requests that name none
	ended chan struct{} // closed by close
	lost  atomic.Int64  // connections

	mu     sync.Mutex
	topics map[string]*inbox
	clock  uint64        // of releases
	room   chan struct{} // closed and replaced when a topic may be given back
}

// inbox is one topic for replies.
type inbox struct {
	waiting int    // requests
	used    uint64 // when the last of them ended
}

// Inbox is a topic for replies, while one request waits.
type Inbox struct {
	// Topic is its name, which the request carries.
	Topic string

	all    *inboxes
	lost   int64
	closed atomic.Bool
}

func (q *inboxes) init(c *connector, sink inboxSink) {
	q.topics, q.ended, q.room = make(map[string]*inbox), make(chan struct{}), make(chan struct{})
	// Nobody guesses it, and a process that had the client id before has another.
	q.own = request.InboxOf(c.id) + uuid.NewString()
	q.conn.cfg = c.cfg
	q.conn.open = func() (*session.Session, error) {
		cfg := c.clean(inboxWord)
		cfg.Sink = sink
		told := cfg.Notify
		cfg.Notify = func(e session.Event) {
			switch e.(type) {
			case session.ConnectionLost, session.TakenOver:
				q.lost.Add(1)
			}
			told(e)
		}
		return session.New(cfg)
	}
}

// take reserves a topic. It returns what to wait for when there is no room.
func (q *inboxes) take(s *session.Session, name string) (room <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	in := q.topics[name]
	if in == nil {
		if len(q.topics) >= MaxInboxes && !q.evict(s) {
			return q.room
		}
		in = new(inbox)
		q.topics[name] = in
	}
	in.waiting++
	return nil
}

// evict forgets the least recently used topic, and reports whether there was one. The
// mutex is held, so that the topic is not requested meanwhile.
func (q *inboxes) evict(s *session.Session) bool {
	oldest, used := "", uint64(math.MaxUint64)
	for name, in := range q.topics {
		if in.waiting == 0 && in.used < used && name != q.own {
			oldest, used = name, in.used
		}
	}
	if oldest == "" {
		return false
	}
	delete(q.topics, oldest)
	s.Forget(oldest) // goes ahead of the SUBSCRIBE that follows
	return true
}

// give ends the wait of one request. A topic that could not be subscribed to is
// not kept.
func (q *inboxes) give(s *session.Session, name string, failed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	in := q.topics[name]
	q.clock++
	in.used = q.clock
	if in.waiting--; in.waiting > 0 {
		return
	}
	if failed {
		delete(q.topics, name)
		s.Forget(name)
	}
	close(q.room)
	q.room = make(chan struct{})
}

// granted waits until the broker has granted a filter on the connection that
// there is: a clean session has lost those of the one before.
func granted(ctx context.Context, s *session.Session, filter string) error {
	if err := s.WaitConnected(ctx, session.Final); err != nil {
		return err
	}
	wish, err := s.Ask(session.Filter{Filter: filter, QoS: 1})
	if err != nil {
		return err
	}
	return wish.Wait(ctx)
}

// Close ends the wait.
func (in *Inbox) Close() {
	if in.closed.CompareAndSwap(false, true) {
		in.all.give(in.all.conn.made(), in.Topic, false)
	}
}

// Ended is closed when no reply comes any more, because the client stops.
func (in *Inbox) Ended() <-chan struct{} { return in.all.ended }

// Lost reports whether the connection was lost meanwhile: a reply that was sent
// then is gone.
func (in *Inbox) Lost() bool { return in.all.lost.Load() != in.lost }

func (q *inboxes) close(ctx context.Context) {
	close(q.ended)
	q.conn.close(ctx)
}

// inboxSink hands replies over on the read loop.
type inboxSink struct {
	replied func(d *Delivery)
	calls   *callbacks
}

var _ session.Sink = inboxSink{}

// New implements [session.Sink].
func (inboxSink) New(topic []byte, _ byte, _ int) *session.Inbound {
	return &session.Inbound{Topic: string(topic)}
}

// Deliver implements [session.Sink].
func (s inboxSink) Deliver(m *session.Inbound) {
	if m.Oversize() == 0 && m.IllFormed() == nil {
		s.calls.call(func() { s.replied(&Delivery{Event: envelope.Event{Inbound: m}, Attempt: 1}) })
	}
	m.Done()
}

// Batch implements [session.Sink].
func (inboxSink) Batch() {}

// get returns an open one, see [Client.OpenInbox].
func (q *inboxes) get(ctx context.Context, name string) (*Inbox, error) {
	if name == "" {
		name = q.own
	} else if err := topic.ValidateName(name); err != nil {
		return nil, &event.Error{Op: "request", Topic: logsafe.Clip(name), Reason: event.ReasonBadTopic, Cause: err}
	}
	s, err := q.conn.get()
	if err != nil {
		return nil, err
	}
	for room := q.take(s, name); room != nil; room = q.take(s, name) {
		select {
		case <-room:
		case <-q.ended:
			return nil, &event.Error{Op: "request", Topic: name, Reason: event.ReasonClosed, Cause: errStopped}
		case <-ctx.Done():
			return nil, &event.Error{Op: "request", Topic: name, Reason: event.ReasonQuota, Cause: fmt.Errorf(
				"%d topics for replies have requests that wait: %w", MaxInboxes, ctx.Err())}
		}
	}
	in := &Inbox{Topic: name, all: q, lost: q.lost.Load()}
	if err := granted(ctx, s, name); err != nil {
		q.give(s, name, true)
		return nil, err
	}
	return in, nil
}
