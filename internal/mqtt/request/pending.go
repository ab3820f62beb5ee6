package request

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

const maxPending = 2048 // requests that wait for a reply

// Pending has the requests that wait for a reply of type T. It is safe for concurrent use.
type Pending[T any] struct {
	mu      sync.Mutex
	waiting map[string]waiting[T] // by correlation data
	topics  map[string]int        // how many of them are for which topic
	late    atomic.Int64          // replies that nobody waits for
	sending attempts
}

// waiting is one request.
type waiting[T any] struct {
	topic string
	reply chan T
}

// NewPending returns a table without requests.
func NewPending[T any]() *Pending[T] {
	return &Pending[T]{waiting: make(map[string]waiting[T]), topics: make(map[string]int)}
}

// Expect reserves room for one reply. The room of a topic is bounded so that others have
// room, too: one topic whose replier is dead has half of the room, two have a third each,
// and so on. Beyond that the error is QUOTA_EXCEEDED. The caller must call Forget with the
// correlation.
func (q *Pending[T]) Expect(topic, correlation string) (<-chan T, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if own, free := q.topics[topic], maxPending-len(q.waiting); own >= free {
		return nil, &event.Error{
			Op: "request", Topic: logsafe.Clip(topic), Reason: event.ReasonQuota,
			Cause: fmt.Errorf("%d requests wait for a reply, %d of them for one of this topic", len(q.waiting), own),
		}
	}
	ch := make(chan T, 1)
	q.waiting[correlation] = waiting[T]{topic, ch}
	q.topics[topic]++
	return ch, nil
}

// Send runs the publish of a request, which must not panic, on a goroutine that Wait waits
// for. The publish has the values, the deadline and the end of ctx, see [Sending.Release].
func (q *Pending[T]) Send(ctx context.Context, publish func(ctx context.Context) error) *Sending {
	s := newSending(ctx)
	q.sending.start(func() {
		err := errEnded // a middleware may end the goroutine (runtime.Goexit)
		defer func() { s.finish(err) }()
		err = publish(s)
	})
	return s
}

// Wait returns when no publish of a request is under way, or ctx ends.
func (q *Pending[T]) Wait(ctx context.Context) { q.sending.wait(ctx) }

// Forget ends the wait.
func (q *Pending[T]) Forget(correlation string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(correlation)
}

// remove removes a request and returns its channel, or nil if no such request waits.
func (q *Pending[T]) remove(correlation string) chan T {
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

// Answer passes a reply to the request that waits for it, once and without blocking. It
// returns 0 if a request was waiting, and else the number of late replies so far,
// including this one.
func (q *Pending[T]) Answer(correlation []byte, reply T) (late int64) {
	q.mu.Lock()
	ch := q.remove(string(correlation))
	q.mu.Unlock()
	if ch == nil {
		return q.late.Add(1)
	}
	ch <- reply // it has room
	return 0
}

// Late returns the number of replies for which no request was waiting.
func (q *Pending[T]) Late() int64 { return q.late.Load() }
