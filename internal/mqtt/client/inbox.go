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

// MaxInboxes is the maximum number of reply topics that are subscribed to at a time.
const MaxInboxes = 64

// inboxes are the topics for replies to our requests, and their session. A reply is
// processed on the session's read loop and acknowledged at once, so that it does not wait
// behind handlers that wait for replies themselves.
type inboxes struct {
	conn     onDemand
	ownTopic string        // the client's topic, for requests that name none
	ended    chan struct{} // closed by close
	lost     atomic.Int64  // number of lost connections

	mu       sync.Mutex
	topics   map[string]*inbox
	releases uint64        // counts releases
	room     chan struct{} // closed and replaced when a topic may be released
}

// inbox is one reply topic.
type inbox struct {
	waiting int    // number of requests
	used    uint64 // clock at the end of the last request
}

// Inbox is a reply topic that one request waits on.
type Inbox struct {
	// Topic is the name that the request carries as its response topic.
	Topic string

	all    *inboxes
	lost   int64
	closed atomic.Bool
}

func (q *inboxes) init(c *connector, sink inboxSink) {
	q.topics, q.ended, q.room = make(map[string]*inbox), make(chan struct{}), make(chan struct{})
	// The random part cannot be guessed, and differs from that of an earlier process with
	// the same client id.
	q.ownTopic = request.InboxOf(c.id) + uuid.NewString()
	q.conn.cfg = c.cfg
	q.conn.open = func() (*session.Session, error) {
		cfg := c.clean(inboxWord)
		cfg.Sink = sink
		notify := cfg.Notify
		cfg.Notify = func(e session.Event) {
			switch e.(type) {
			case session.ConnectionLost, session.TakenOver, session.Renewed:
				q.lost.Add(1)
			}
			notify(e)
		}
		return session.New(cfg)
	}
}

// reserve reserves a topic, or returns a channel to wait for if there is no room.
func (q *inboxes) reserve(s *session.Session, name string) (room <-chan struct{}) {
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

// evict removes the least recently used topic, and reports whether there was one. The mutex
// is held, so that the topic is not requested meanwhile.
func (q *inboxes) evict(s *session.Session) bool {
	oldest, used := "", uint64(math.MaxUint64)
	for name, in := range q.topics {
		if in.waiting == 0 && in.used < used && name != q.ownTopic {
			oldest, used = name, in.used
		}
	}
	if oldest == "" {
		return false
	}
	delete(q.topics, oldest)
	s.Forget(oldest) // before the SUBSCRIBE that follows
	return true
}

// release ends the wait of one request. A topic that could not be subscribed to is removed.
func (q *inboxes) release(s *session.Session, name string, failed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	in := q.topics[name]
	q.releases++
	in.used = q.releases
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

// granted waits until the broker has granted a filter on the current connection; a clean
// session loses its filters with the connection.
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

// Close ends the wait. Further calls do nothing.
func (in *Inbox) Close() {
	if in.closed.CompareAndSwap(false, true) {
		in.all.release(in.all.conn.made(), in.Topic, false)
	}
}

// Ended returns a channel that is closed when the client stops: no reply arrives after
// that.
func (in *Inbox) Ended() <-chan struct{} { return in.all.ended }

// Lost reports whether the connection was lost since the inbox was opened. A reply that was
// sent meanwhile is lost, too.
func (in *Inbox) Lost() bool { return in.all.lost.Load() != in.lost }

func (q *inboxes) close(ctx context.Context) {
	close(q.ended)
	q.conn.close(ctx)
}

// inboxSink passes replies on, on the read loop.
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
		s.calls.call(func() { s.replied(&Delivery{Event: envelope.Event{Inbound: m}}) })
	}
	m.Done()
}

// Batch implements [session.Sink].
func (inboxSink) Batch() {}

// open opens an inbox, see [Client.openInbox].
func (q *inboxes) open(ctx context.Context, name string) (*Inbox, error) {
	if name == "" {
		name = q.ownTopic
	} else if err := topic.ValidateName(name); err != nil {
		return nil, &event.Error{Op: "request", Topic: logsafe.Clip(name), Reason: event.ReasonBadTopic, Cause: err}
	}
	s, err := q.conn.get()
	if err != nil {
		return nil, err
	}
	for room := q.reserve(s, name); room != nil; room = q.reserve(s, name) {
		select {
		case <-room:
		case <-q.ended:
			return nil, &event.Error{Op: "request", Topic: name, Reason: event.ReasonClosed, Cause: errStopped}
		case <-ctx.Done():
			return nil, &event.Error{Op: "request", Topic: name, Reason: event.ReasonQuota, Cause: fmt.Errorf(
				"all %d reply topics are in use by waiting requests: %w", MaxInboxes, ctx.Err())}
		}
	}
	in := &Inbox{Topic: name, all: q, lost: q.lost.Load()}
	if err := granted(ctx, s, name); err != nil {
		q.release(s, name, true)
		return nil, err
	}
	return in, nil
}
