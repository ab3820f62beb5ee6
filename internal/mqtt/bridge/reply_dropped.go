package bridge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// replies are the answers to requests, as far as they outlive a state.
type replies struct {
	requesters
	dropped atomic.Int64
	line    logsafe.PerMinute
	told    atomic.Int64 // of dropped, by the log

	attempts attempts
	waiting  atomic.Int64 // bytes of replies that are under way
}

// replyDropped counts a reply that its requester does not get, and tells of it.
func (s *state) replyDropped(a *Answer, err error) {
	r := &s.broker.replies
	n := r.dropped.Add(1)
	if r.line.Due(time.Now()) {
		s.log.Warnf("mqtt: %s: the reply to a request on topic %q was dropped, %d since the last such line, at most one a minute: %v",
			a.of.own.Operation, clip(a.event.Topic()), n-r.told.Swap(n), err)
	}
	if len(s.told.reply) == 0 {
		return
	}
	info := event.ReplyDroppedInfo{Delivery: delivered(a.event.delivery, a.event.delivery.Attempt), ResponseTopic: clip(a.topic), Err: err}
	if e, ok := errors.AsType[*event.Error](err); ok {
		info.Reason = e.Reason
	}
	later(s.told.reply, event.ReplyHook.OnReplyDropped, info)
}

// attempts are those at replies that are under way. The zero value is ready; it is
// safe for concurrent use.
type attempts struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0 again; nil when it is
}

// start runs one, on a goroutine that ends with it.
func (a *attempts) start(attempt func()) {
	a.mu.Lock()
	if a.n++; a.n == 1 {
		a.idle = make(chan struct{})
	}
	a.mu.Unlock()
	go func() {
		defer a.end()
		attempt()
	}()
}

func (a *attempts) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n--; a.n == 0 {
		close(a.idle)
		a.idle = nil
	}
}

// wait returns when none is under way, or ctx ends.
func (a *attempts) wait(ctx context.Context) {
	a.mu.Lock()
	idle := a.idle
	a.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
