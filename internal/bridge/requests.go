package bridge

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

const maxRequests = 1024 // that wait for a reply

// requests are those that wait for a reply.
type requests struct {
	mu      sync.Mutex
	waiting map[string]chan *Event // by correlation data
	late    atomic.Int64           // replies that nobody waits for
}

func (q *requests) init() { q.waiting = make(map[string]chan *Event) }

// expect makes room for one reply.
func (q *requests) expect(topic, correlation string) (<-chan *Event, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) >= maxRequests {
		return nil, quota(topic, "%d requests wait for a reply", maxRequests)
	}
	ch := make(chan *Event, 1)
	q.waiting[correlation] = ch
	return ch, nil
}

func (q *requests) forget(correlation string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, correlation)
}

// take returns the channel of the request that waits for a reply, once.
func (q *requests) take(correlation []byte) chan *Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	ch := q.waiting[string(correlation)]
	delete(q.waiting, string(correlation))
	return ch
}

// replied takes what arrives on a topic for replies. It runs on the read loop of
// their connection, and waits for nothing: the channel has room.
func (b *Broker) replied(d *engine.Delivery) {
	s, q := b.state(), &b.requests
	e, err := s.event(d)
	_, correlation := e.reply()
	var ch chan *Event
	if err == nil {
		ch = q.take(correlation)
	}
	if ch != nil {
		ch <- e
		return
	}
	if q.late.Add(1) == 1 {
		s.log.Warnf("mqtt: a reply came too late, or answers no request of ours: topic %q; such replies are counted", clip(d.Topic))
	}
}

func quota(topic, format string, args ...any) error {
	return &event.Error{
		Op: opRequest, Topic: clip(topic), Reason: event.ReasonQuota,
		Cause: fmt.Errorf(format, args...),
	}
}
