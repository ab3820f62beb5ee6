package bridge

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// replies are the answers to requests, as far as they outlive a state.
type replies struct {
	requesters
	dropped atomic.Int64
	line    engine.PerMinute
	told    atomic.Int64 // of dropped, by the log
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
