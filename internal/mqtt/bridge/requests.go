package bridge

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

const maxRequests = 2048 // that wait for a reply

// requests are those that wait for a reply.
type requests struct {
	mu      sync.Mutex
	waiting map[string]waiting // by correlation data
	topics  map[string]int     // how many of them are for which topic
	late    atomic.Int64       // replies that nobody waits for
}

// waiting is one request.
type waiting struct {
	topic string
	reply chan *Event
}

func (q *requests) init() { q.waiting, q.topics = make(map[string]waiting), make(map[string]int) }

// expect makes room for one reply. A topic gets no more than it leaves to others:
// one whose replier is dead has half of the room, two have a third each, and so on.
func (q *requests) expect(topic, correlation string) (<-chan *Event, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if own, free := q.topics[topic], maxRequests-len(q.waiting); own >= free {
		return nil, quota(topic, "%d requests wait for a reply, %d of them for one of this topic", len(q.waiting), own)
	}
	ch := make(chan *Event, 1)
	q.waiting[correlation] = waiting{topic, ch}
	q.topics[topic]++
	return ch, nil
}

func (q *requests) forget(correlation string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(correlation)
}

// remove returns the channel of a request that waits no longer; nil for none.
func (q *requests) remove(correlation string) chan *Event {
	w, ok := q.waiting[correlation]
	if !ok {
		return nil
	}
	delete(q.waiting, correlation)
	if q.topics[w.topic]--; q.topics[w.topic] == 0 {
		delete(q.topics, w.topic)
	}
	return w.reply
}

// take returns the channel of the request that waits for a reply, once.
func (q *requests) take(correlation []byte) chan *Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.remove(string(correlation))
}

// replied takes what arrives on a topic for replies. It runs on the read loop of
// their connection, and waits for nothing: the channel has room.
func (b *Broker) replied(d *client.Delivery) {
	s, q := b.state(), &b.requests
	e, err := s.open(d)
	_, correlation := e.Reply()
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
