package bridge

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

const (
	replyPrefix  = "reply/"
	maxRequests  = 1024 // that wait for a reply
	maxReplyTops = 64   // topics for replies
)

// requests are those that wait for a reply, and the subscriptions that replies
// come through.
type requests struct {
	mu      sync.Mutex
	waiting map[string]chan *Event // by correlation data
	topics  map[string]bool        // granted
	inbox   string

	turn chan struct{} // held by who subscribes
	late atomic.Int64  // replies that nobody waits for
}

func (q *requests) init() {
	q.waiting, q.topics = make(map[string]chan *Event), make(map[string]bool)
	q.turn = make(chan struct{}, 1)
}

// listen subscribes to the topic for replies, once, and waits for the SUBACK.
func (s *state) listen(ctx context.Context, topic string) (string, error) {
	q := &s.broker.requests
	topic, known, err := q.topic(topic, s.cfg.ClientID)
	if known || err != nil {
		return topic, err
	}
	select {
	case q.turn <- struct{}{}:
		defer func() { <-q.turn }()
	case <-ctx.Done():
		return "", public(opRequest, topic, ctx.Err())
	}
	if _, known, _ = q.topic(topic, ""); known {
		return topic, nil
	}
	b := s.broker
	b.mu.RLock() // Init moves the subscriptions to another client
	defer b.mu.RUnlock()
	_, err = b.client.Subscribe(ctx, &engine.Subscription{Filter: topic, QoS: 1, Handler: b.replied})
	if err != nil {
		return "", public("subscribe", topic, err)
	}
	q.mu.Lock()
	q.topics[topic] = true
	q.mu.Unlock()
	return topic, nil
}

// topic gives the topic for replies and whether it is subscribed to.
func (q *requests) topic(topic, clientID string) (_ string, known bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if topic == "" {
		topic = q.own(clientID)
	}
	switch {
	case q.topics[topic]:
		return topic, true, nil
	case len(q.topics) >= maxReplyTops:
		return "", false, quota(topic, "%d topics for replies are in use", maxReplyTops)
	}
	return topic, false, public(opRequest, topic, engine.ValidateTopic(topic))
}

// own gives the client's topic: one level of the client id, whatever is in it.
func (q *requests) own(clientID string) string {
	if q.inbox == "" {
		if clientID == "" {
			clientID = uuid.NewString()
		}
		level := strings.NewReplacer("%", "%25", "/", "%2F", "+", "%2B", "#", "%23").Replace(clientID)
		q.inbox = replyPrefix + level + "/inbox"
	}
	return q.inbox
}

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

// take gives who waits for a reply, once.
func (q *requests) take(correlation []byte) chan *Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	ch := q.waiting[string(correlation)]
	delete(q.waiting, string(correlation))
	return ch
}

// replied handles what arrives on a topic for replies. Nothing of it is worth a
// second attempt.
func (b *Broker) replied(_ context.Context, d *engine.Delivery) error {
	s, q := b.state(), &b.requests
	e, err := s.event(d)
	_, correlation := e.reply()
	var ch chan *Event
	if err == nil {
		ch = q.take(correlation)
	}
	if ch != nil {
		ch <- e
		return nil
	}
	if q.late.Add(1) == 1 {
		s.log.Warnf("mqtt: a reply came too late, or answers no request of ours: topic %q; such replies are counted", clip(d.Topic))
	}
	return nil
}

func quota(topic, format string, args ...any) error {
	return &event.Error{
		Op: opRequest, Topic: clip(topic), Reason: event.ReasonQuota,
		Cause: fmt.Errorf(format, args...),
	}
}
